"""Finds the registry clients for an image's name: by registries.conf, accounts and options."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import NamedTuple, Self, TypeVar

import trio

from rootless.errors import RootlessError, UsageError
from rootless.oci.reference import Reference
from rootless.registry.authorization import Credentials
from rootless.registry.client import RepositoryClient
from rootless.registry.configuration import ClientEnv, find_account, registries_conf
from rootless.registry.registries_conf import Endpoint, RegistriesConf, candidates, endpoints
from rootless.registry.retrying import Policy
from rootless.registry.transport import Timing, Transport

T = TypeVar("T")


class RemoteOptions(NamedTuple):
    """The registry options of a command."""

    tls_verify: bool | None = None
    """None: as registries.conf says, and leniently on loopback."""
    authfile: str | None = None
    credentials: Credentials | None = None
    timing: Timing = Timing()
    policy: Policy = Policy()


def parse_credentials(text: str) -> Credentials:
    """The credentials of --creds: USER[:PASSWORD]. Raises UsageError."""
    username, _, password = text.partition(":")
    if not username:
        raise UsageError("--creds must be USER:PASSWORD")
    return Credentials(username, password)


class Remote:
    """The registries of one command. Use as an asynchronous context manager."""

    def __init__(self, env: ClientEnv, options: RemoteOptions) -> None:
        self.env = env
        self.options = options
        self.conf: RegistriesConf = registries_conf(env)
        self.transport = Transport(env, options.timing)

    async def __aenter__(self) -> Self:
        await self.transport.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.transport.__aexit__(None, None, None)

    def candidates(self, name: str) -> tuple[Reference, ...]:
        """The candidates for a name, best first. Raises UsageError."""
        return candidates(self.conf, name)

    def readers(self, reference: Reference) -> tuple[RepositoryClient, ...]:
        """Clients to read from, mirrors first. Raises UsageError if the registry is blocked."""
        return tuple(self._client(each) for each in endpoints(self.conf, reference))

    def writer(self, reference: Reference) -> RepositoryClient:
        """The client to write with: mirrors are never written to."""
        return self._client(endpoints(self.conf, reference, mirrors=False)[0])

    def _client(self, endpoint: Endpoint) -> RepositoryClient:
        options = self.options

        @cache
        def credentials() -> Credentials | None:
            if options.credentials is not None:
                return options.credentials
            return find_account(self.env, options.authfile, endpoint.configured)

        return RepositoryClient(
            self.transport,
            endpoint,
            credentials,
            tls_verify=options.tls_verify,
            policy=options.policy,
        )


class BrokenOffError(Exception):
    """Raised in a thread that is cancelled because of a failure elsewhere."""


def run_remote(operation: Callable[[], Awaitable[T]]) -> T:
    """Run an operation to its end; of failures in several tasks at once, the most specific one is raised."""
    try:
        return trio.run(operation)
    except BaseExceptionGroup as group:
        raise _most_specific(group) from None


def _most_specific(group: BaseExceptionGroup[BaseException]) -> BaseException:
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        each = pending.pop(0)
        if isinstance(each, BaseExceptionGroup):
            pending = [*each.exceptions, *pending]
        else:
            leaves.append(each)

    def rank(leaf: BaseException) -> int:
        if isinstance(leaf, KeyboardInterrupt):
            return 0
        if isinstance(leaf, BrokenOffError):
            return 3
        return 2 if isinstance(leaf, RootlessError) else 1

    return min(leaves, key=rank)
