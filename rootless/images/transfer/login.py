"""login and logout: accounts, checked at the registry before they are stored."""

from __future__ import annotations

from typing import NamedTuple

from rootless.errors import UsageError
from rootless.oci.reference import DEFAULT_DOMAIN
from rootless.registry.authorization import Credentials
from rootless.registry.client import RepositoryClient
from rootless.registry.configuration import (
    ClientEnv,
    account_paths,
    find_account,
    forget_account,
    keep_account,
    registries_conf,
)
from rootless.registry.credentials import host_of_key
from rootless.registry.registries_conf import endpoints
from rootless.registry.remote import RemoteOptions, run_remote
from rootless.registry.transport import Transport


class LoggedIn(NamedTuple):
    """Where the account is stored: a file, or the helper that it names."""

    path: str
    helper: str | None


def registry_host(text: str | None) -> str:
    """The registry that a user means: a host, an old URL of its API, or nothing for Docker Hub."""
    host = host_of_key(text) if text else DEFAULT_DOMAIN
    host = host.partition("/")[0]
    if not host:
        raise UsageError(f"{text!r} is not a registry", hint="write HOST or HOST:PORT")
    return host


def login(host: str, account: Credentials, env: ClientEnv, options: RemoteOptions) -> LoggedIn:
    """Check an account at the registry and store it. Raises DeniedError if the registry refuses it, UnreachableError."""
    from rootless.oci.reference import Reference

    # The repository plays no part in what is asked.
    endpoint = endpoints(registries_conf(env), Reference(host, "login"), mirrors=False)[0]

    async def work() -> None:
        async with Transport(env, options.timing) as transport:
            client = RepositoryClient(
                transport,
                endpoint,
                lambda: account,
                tls_verify=options.tls_verify,
                policy=options.policy,
            )
            await client.check()

    run_remote(work)
    path = account_paths(env, options.authfile)[0]
    return LoggedIn(str(path), keep_account(path, host, account))


def known_account(host: str, env: ClientEnv, options: RemoteOptions) -> Credentials | None:
    """The stored account of a registry."""
    return find_account(env, options.authfile, host)


def logout(host: str | None, env: ClientEnv, options: RemoteOptions) -> bool:
    """Remove a registry's account from every file; returns whether there was one."""
    forgotten = [
        forget_account(path, registry_host(host)) for path in account_paths(env, options.authfile)
    ]
    return any(forgotten)
