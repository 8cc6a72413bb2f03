"""Paths of the files with credentials and certificates; reads them, and writes credentials.

A file with accounts is replaced as a whole, with mode 0600, under a lock beside it, so that two
logins at once both stay. A symbolic link (dotfiles kept elsewhere) stays one: what it leads to is
replaced.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from rootless.durable import locked, write_atomically
from rootless.errors import InvalidDocumentError, RootlessError
from rootless.oci.document import Json, parse_object
from rootless.registry import credential_helper
from rootless.registry.authorization import Credentials
from rootless.registry.credentials import (
    CredentialFile,
    account_in,
    helper_keys,
    stored_key,
    with_account,
    without_account,
)
from rootless.registry.registries_conf import RegistriesConf, merged, read_registries_conf

_LARGEST = 4 << 20


class ClientEnv(NamedTuple):
    """The variables of the caller's environment that are used here."""

    environ: Mapping[str, str]
    home: Path
    uid: int

    @classmethod
    def of_caller(cls, environ: Mapping[str, str]) -> ClientEnv:
        """The environment of this process."""
        return cls(environ, Path(environ.get("HOME") or os.path.expanduser("~")), os.getuid())

    @property
    def config_home(self) -> Path:
        base = self.environ.get("XDG_CONFIG_HOME")
        return Path(base) if base and base.startswith("/") else self.home / ".config"

    @property
    def docker_config(self) -> Path:
        """Docker's own directory, where config.json is."""
        return Path(self.environ.get("DOCKER_CONFIG") or self.home / ".docker")


# registries.conf


def registries_conf(env: ClientEnv) -> RegistriesConf:
    """The merged registries.conf files. Raises InvalidDocumentError.

    The user's file replaces the machine's; then the drop-in directories, the machine's before the
    user's, each in order of names (containers-registries.conf.d(5)).
    """
    override = env.environ.get("CONTAINERS_REGISTRIES_CONF") or env.environ.get(
        "REGISTRIES_CONFIG_PATH"
    )
    if override:
        return _read_conf(Path(override), required=True) or RegistriesConf()
    user = env.config_home / "containers"
    system = Path("/etc/containers")
    main = next(
        (path for each in (user, system) if (path := each / "registries.conf").exists()), None
    )
    paths = [main] if main is not None else []
    for directory in (system, user):
        paths += sorted((directory / "registries.conf.d").glob("*.conf"))
    return merged([conf for path in paths if (conf := _read_conf(path)) is not None])


def _read_conf(path: Path, *, required: bool = False) -> RegistriesConf | None:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        if required:
            raise RootlessError(f"cannot read {path}: {error.strerror}") from None
        return None
    try:
        document = tomllib.loads(data.decode())
    except ValueError as error:
        raise InvalidDocumentError(f"{path} is not valid TOML: {error}") from error
    return read_registries_conf(document, str(path))


# Accounts


def account_paths(env: ClientEnv, authfile: str | None) -> tuple[Path, ...]:
    """The files to look for an account in, in this order; the first is the one that login writes.

    A file that was named is the only one. Docker's comes before containers', because login writes
    Docker's: what the user just typed must not lose against what another tool once kept.
    """
    if named := authfile or env.environ.get("REGISTRY_AUTH_FILE"):
        return (Path(named),)
    runtime = env.environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{env.uid}"
    return (
        env.docker_config / "config.json",
        Path(runtime) / "containers/auth.json",
        env.config_home / "containers/auth.json",
    )


def find_account(env: ClientEnv, authfile: str | None, name: str) -> Credentials | None:
    """The account for `HOST/REPOSITORY`: of each file the helper's, then the file's own.

    Raises InvalidDocumentError for a damaged file, RootlessError if a helper fails.
    """
    for path in account_paths(env, authfile):
        file = read_account_file(path)
        if file is None:
            continue
        host = name.partition("/")[0]
        if (helper := file.helper_for(host)) is not None:
            for key in helper_keys(host):
                if (found := credential_helper.get(helper, key)) is not None:
                    return found
        if (found := account_in(file, name)) is not None:
            return found
    return None


def read_account_file(path: Path) -> CredentialFile | None:
    """The file, or None if there is none or it is empty."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RootlessError(f"cannot read {path}: {error.strerror}") from error
    if not data.strip():
        return None
    return CredentialFile(str(path), parse_object(data, str(path), _LARGEST))


def keep_account(path: Path, host: str, account: Credentials) -> str | None:
    """Write an account, to the helper that the file names or to the file. Returns the helper's name."""
    file = read_account_file(path)
    helper = file.helper_for(host) if file is not None else None
    if helper is not None:
        credential_helper.store(helper, stored_key(host), account)
    written = None if helper is not None else account
    _change(path, lambda document: with_account(document, stored_key(host), written))
    return helper


def forget_account(path: Path, host: str) -> bool:
    """Remove an account from the file and its helper; whether there was one."""
    file = read_account_file(path)
    if file is None:
        return False
    erased = False
    if (helper := file.helper_for(host)) is not None:
        erased = credential_helper.erase(helper, stored_key(host))
    _, removed = without_account(file.document, host)
    if removed:
        _change(path, lambda now: without_account(now, host)[0])
    return erased or removed


def _change(path: Path, edit: Callable[[Json], Json]) -> None:
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(target.parent / f".{target.name}.lock"):
            file = read_account_file(target)
            document = edit(file.document if file is not None else {})
            # As Docker writes it: with tabs.
            text = json.dumps(document, indent="\t", ensure_ascii=False)
            write_atomically(target, text.encode(), mode=0o600)
    except OSError as error:
        raise RootlessError(f"cannot write {path}: {error.strerror}") from error
