"""Certificate authorities and client certificates: certs.d directories, Docker's and
containers'.

A directory is named after the registry as it is written in a reference, port included. In it every
`*.crt` is an authority to trust, and every `NAME.cert` with its `NAME.key` a client certificate
(docker: "Use a self-signed certificate"; containers-certs.d(5)). The authorities add to those of the
machine, as Docker has it.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from rootless.errors import RootlessError
from rootless.registry.configuration import ClientEnv


class Certificates(NamedTuple):
    """Files of one registry."""

    authorities: tuple[Path, ...]
    own: tuple[tuple[Path, Path], ...]


def certificate_directories(env: ClientEnv) -> tuple[Path, ...]:
    """Where certs.d may lie, the user's first."""
    return (
        env.config_home / "containers/certs.d",
        env.config_home / "docker/certs.d",
        env.docker_config / "certs.d",
        Path("/etc/containers/certs.d"),
        Path("/etc/docker/certs.d"),
    )


def certificates_for(env: ClientEnv, host: str) -> Certificates | None:
    """The files of the first directory that has the registry, or None. Raises RootlessError."""
    for base in certificate_directories(env):
        directory = base / host
        try:
            names = sorted(path.name for path in directory.iterdir())
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        authorities = tuple(directory / name for name in names if name.endswith(".crt"))
        own = []
        for name in names:
            if not name.endswith(".cert"):
                continue
            key = directory / f"{name[: -len('.cert')]}.key"
            if not key.exists():
                raise RootlessError(f"missing key {key} for certificate {directory / name}")
            own.append((directory / name, key))
        if authorities or own:
            return Certificates(authorities, tuple(own))
    return None


def tls_context(certificates: Certificates | None, *, verify: bool) -> ssl.SSLContext:
    """The TLS context. Raises RootlessError for an invalid certificate file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if verify:
        context.load_default_certs()
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for path in certificates.authorities if certificates else ():
        try:
            context.load_verify_locations(cafile=path)
        except (OSError, ssl.SSLError) as error:
            raise RootlessError(f"cannot use the certificate authority {path}: {error}") from error
    for certificate, key in certificates.own if certificates else ():
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise RootlessError(f"cannot use the certificate {certificate}: {error}") from error
    return context
