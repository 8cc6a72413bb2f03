"""The values of `RUN --mount`. Pure.

Docker's Dockerfile reference, "RUN --mount". A value is one line of CSV of fields `key=value`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from rootless.csv_fields import split_fields
from rootless.dockerfile.errors import DockerfileError, quoted
from rootless.dockerfile.instructions import MountFlag
from rootless.dockerfile.suggestions import did_you_mean
from rootless.sizes import ram_in_bytes
from unionfs.light_types import NamedTuple

_TYPES = ("bind", "cache", "secret", "ssh", "tmpfs")
_SHARING = ("locked", "private", "shared")
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_KEYS = (
    *("type", "from", "source", "target", "readonly", "id", "sharing", "required", "size"),
    *("mode", "uid", "gid", "src", "dst", "destination", "ro", "rw", "readwrite", "env"),
)
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


class BindMount(NamedTuple):
    """Files of the build context, or of a stage, an image or a named context."""

    target: str
    """Absolute, or relative to the working directory; so in all mounts."""
    source: str
    from_stage: str
    read_only: bool
    """If it is not, what the command writes is thrown away."""


class CacheMount(NamedTuple):
    """A directory that is kept for later builds."""

    target: str
    id: str
    sharing: str
    """shared, private or locked."""
    from_stage: str
    """What a new cache starts with; empty: an empty directory."""
    source: str
    read_only: bool
    mode: int | None
    uid: int | None
    gid: int | None


class TmpfsMount(NamedTuple):
    target: str
    size: int
    """Bytes; 0: no limit."""


class SecretMount(NamedTuple):
    id: str
    target: str
    """Empty: no file, only a variable."""
    env: str
    """The variable with the secret; empty: none."""
    required: bool
    mode: int
    uid: int
    gid: int


class SshMount(NamedTuple):
    """The socket of an SSH agent."""

    id: str
    target: str
    """Empty: a place of the builder's choice."""
    required: bool
    mode: int
    uid: int
    gid: int


Mount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount


def mount_flag(text: str) -> MountFlag:
    """A value whose variables are not known yet. Raises DockerfileError."""
    values: dict[str, str] = {}
    for field in _fields(text):
        key, _, value = field.partition("=")
        key = _ALIASES.get(key.lower(), key.lower())
        if key == "from" and "$" in value[:-1]:
            raise DockerfileError(
                "'from' doesn't support variable expansion, define alias stage instead",
                word=field,
            )
        values[key] = value
    return MountFlag(text, values.get("from", ""), values.get("target", ""))


def parse_mount(text: str, expand: Callable[[str], str]) -> Mount:
    """A value; `expand` replaces variables in the value of each field. Raises DockerfileError."""
    return _Fields(text, expand).mount()


def _fields(text: str) -> list[str]:
    try:
        return split_fields(text)
    except ValueError as error:
        raise DockerfileError(f"failed to parse csv mounts: {error}", word=text) from None


_LABELS = frozenset(("z", "Z"))
"""podman's and buildah's: who may use the files by their SELinux label. None is set here."""


class _Fields:
    """The fields of one value by key."""

    def __init__(self, text: str, expand: Callable[[str], str]) -> None:
        self._values: dict[str, str] = {}
        self._type = "bind"
        self._read_only: bool | None = None
        for field in _fields(text):
            if field in _LABELS:
                continue
            key, equals, value = field.partition("=")
            key = _ALIASES.get(key.lower(), key.lower())
            if not equals and not self._may_lack_value(key):
                raise DockerfileError(
                    f"invalid field '{field}' must be a key=value pair", word=field
                )
            self._add(key, expand(value) if equals else "true", field)
        self._check()

    def _may_lack_value(self, key: str) -> bool:
        if key == "required":
            self._allow(key, "secret", "ssh")
        return key in ("readonly", "readwrite", "rw", "required")

    def _allow(self, key: str, *types: str) -> None:
        if self._type not in types:
            raise DockerfileError(f"unexpected key '{key}' for mount type '{self._type}'")

    def _add(self, key: str, value: str, field: str) -> None:
        if key == "type":
            self._type = value.lower()
            if self._type not in _TYPES:
                raise DockerfileError(
                    f"unsupported mount type {quoted(value)}{did_you_mean(value, _TYPES)}",
                    word=field,
                )
        elif key in ("readonly", "readwrite", "rw"):
            self._read_only = _boolean(key, value) is (key == "readonly")
        elif key == "required":
            self._allow(key, "secret", "ssh")
            value = "true" if _boolean(key, value) else ""
        elif key == "size":
            self._allow(key, "tmpfs")
            _size(value)
        elif key == "sharing":
            value = value.lower()
            if value not in _SHARING:
                raise DockerfileError(
                    f"unsupported sharing value {quoted(value)}{did_you_mean(value, _SHARING)}",
                    word=field,
                )
        elif key in ("mode", "uid", "gid"):
            _number(key, value)
        elif key not in _KEYS:
            raise DockerfileError(
                f"unexpected key '{key}' in '{field}'{did_you_mean(key, _KEYS)}", word=field
            )
        self._values[key] = value

    def _check(self) -> None:
        values = self._values
        if self._type in ("bind", "tmpfs"):
            for key in ("mode", "uid", "gid"):
                if key in values:
                    raise DockerfileError(f"{key} not allowed for {quoted(self._type)} type mounts")
        if self._type == "secret":
            if values.get("from"):
                raise DockerfileError("secret mount should not have a from")
            if "sharing" in values:
                raise DockerfileError("secret mount should not define sharing")
            if not any(values.get(key) for key in ("source", "target", "id")):
                raise DockerfileError("invalid secret mount. one of source, target required")
            if values.get("source") and values.get("id"):
                raise DockerfileError("both source and id can't be set")
        if "sharing" in values and self._type != "cache":
            raise DockerfileError(f"invalid cache sharing set for {self._type} mount")
        if self._type == "ssh" and values.get("source"):
            raise DockerfileError("ssh does not support source")

    def mount(self) -> Mount:
        values = self._values
        target = values.get("target", "")
        source = values.get("source", "")
        from_stage = values.get("from", "")
        mode, uid, gid = (
            _number(key, values[key]) if key in values else None for key in ("mode", "uid", "gid")
        )
        if self._type == "secret":
            secret = source or values.get("id", "") or posixpath.basename(target.rstrip("/"))
            env = values.get("env", "")
            if not target and "env" not in values:
                target = f"/run/secrets/{posixpath.basename(secret)}"
            required = values.get("required", "") == "true"
            return SecretMount(
                secret, target, env, required, 0o400 if mode is None else mode, uid or 0, gid or 0
            )
        if self._type == "ssh":
            required = values.get("required", "") == "true"
            name = values.get("id", "") or "default"
            return SshMount(
                name, target, required, 0o600 if mode is None else mode, uid or 0, gid or 0
            )
        if self._type == "tmpfs":
            return TmpfsMount(target, _size(values.get("size", "0")))
        if self._type == "cache":
            name = values.get("id", "") or posixpath.normpath(target)
            sharing = values.get("sharing", "shared")
            read_only = bool(self._read_only)
            return CacheMount(target, name, sharing, from_stage, source, read_only, mode, uid, gid)
        return BindMount(target, source, from_stage, self._read_only is not False)


def _boolean(key: str, value: str) -> bool:
    if value not in _TRUE and value not in _FALSE:
        raise DockerfileError(f"invalid value for {key}: {value}")
    return value in _TRUE


def _size(value: str) -> int:
    try:
        return ram_in_bytes(value)
    except ValueError:
        raise DockerfileError(f"invalid value for size: {value}") from None


def _number(key: str, value: str) -> int:
    """A number of 32 bits: octal for a mode, else decimal."""
    base = 8 if key == "mode" else 10
    digits = "01234567" if key == "mode" else "0123456789"
    if not value or value.strip(digits) or len(value) > 20 or int(value, base) >= 2**32:
        raise DockerfileError(f"invalid value {value} for {key}")
    return int(value, base)
