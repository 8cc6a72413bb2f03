"""--mount: a line of CSV with the keys of its type. Pure."""

from __future__ import annotations

from rootless.cli.flags.mount_paths import PROPAGATIONS, source_of, target_of
from rootless.cli.flags.sizes import parse_size
from rootless.csv_fields import split_fields
from rootless.errors import UsageError
from rootless.spec.options import Bind, ImageMount, Tmpfs, Volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.spec.options import UserMount

_KEYS = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "u": "chown",
}
_KNOWN = frozenset(
    [
        "type",
        "source",
        "target",
        "readonly",
        "bind-propagation",
        "bind-recursive",
        "bind-nonrecursive",
        "chown",
        "consistency",
        "idmap",
        "image-subpath",
        "relabel",
        "tmpfs-size",
        "tmpfs-mode",
        "volume-driver",
        "volume-label",
        "volume-nocopy",
        "volume-opt",
        "volume-subpath",
    ]
)
_LISTS = frozenset({"volume-label", "volume-opt"})
_BOOLEANS = frozenset({"readonly", "bind-nonrecursive", "chown", "idmap", "volume-nocopy"})
_TYPES = frozenset({"bind", "image", "tmpfs", "volume"})
_TRUE = frozenset({"", "1", "t", "T", "true", "True", "TRUE"})
_FALSE = frozenset({"0", "f", "F", "false", "False", "FALSE"})
_RECURSIVE = ("enabled", "disabled", "writable", "readonly")


class _Fields:
    """The keys of one value, by their long names."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._values: dict[str, str] = {}
        self._lists: dict[str, dict[str, str]] = {name: {} for name in _LISTS}
        try:
            fields = split_fields(text)
        except ValueError as error:
            raise self.error(f"parse error on line 1: {error}") from error
        for field in fields:
            key, separator, value = field.partition("=")
            key = _KEYS.get(key.strip().lower(), key.strip().lower())
            if not separator and key not in _BOOLEANS:
                raise self.error(f"invalid field {field!r} must be a key=value pair")
            if key not in _KNOWN:
                raise self.error(f"unexpected key {key!r} in {field!r}")
            if key in _LISTS:
                name, _, value = value.partition("=")
                self._lists[key][name] = value
            self._values[key] = value

    def error(self, reason: str) -> UsageError:
        return UsageError(f'invalid argument "{self.text}" for "--mount" flag: {reason}')

    def get(self, key: str, default: str = "") -> str:
        return self._values.get(key, default)

    def has(self, key: str) -> bool:
        return key in self._values

    def pairs(self, key: str) -> Mapping[str, str]:
        """The NAME=VALUE of a key that may be repeated."""
        return self._lists[key]

    def is_set(self, key: str) -> bool:
        """A boolean; a key without a value is true. Raises UsageError."""
        value = self._values.get(key, "false")
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise self.error(f"invalid value for {key}: {value}")

    def refuse_others(self, kind: str) -> None:
        """Raise UsageError for keys of another type."""
        for other in ("bind", "image", "tmpfs", "volume"):
            if other != kind and any(key.startswith(f"{other}-") for key in self._values):
                raise self.error(f"cannot mix '{other}-*' options with mount type '{kind}'")


def parse_mount(text: str, getcwd: Callable[[], str]) -> UserMount:
    """type=bind|image|volume|tmpfs,src=…,dst=…,… Raises UsageError."""
    fields = _Fields(text)
    kind = fields.get("type", "volume").lower()
    if not fields.get("target"):
        raise fields.error("target is required")
    if kind not in _TYPES:
        raise UsageError(f'invalid mount config for type "{kind}": mount type unknown')
    fields.refuse_others(kind)
    for key in ("chown", "idmap"):
        if fields.has(key) and kind not in ({"bind"} if key == "idmap" else {"bind", "volume"}):
            raise fields.error(f"cannot mix '{key}' with mount type '{kind}'")
    target = target_of(fields.get("target"), text)
    read_only = fields.is_set("readonly")
    if kind == "tmpfs":
        return _tmpfs(fields, target, read_only=read_only)
    if kind == "image":
        return _image(fields, target)
    if kind == "volume":
        return _volume(fields, target, read_only=read_only)
    return _bind(fields, target, getcwd, read_only=read_only)


def _bind(fields: _Fields, target: str, getcwd: Callable[[], str], *, read_only: bool) -> Bind:
    if not fields.get("source"):
        raise UsageError('invalid mount config for type "bind": field Source must not be empty')
    propagation = fields.get("bind-propagation", "rprivate")
    if propagation not in PROPAGATIONS:
        raise UsageError(
            f'invalid mount config for type "bind": invalid propagation mode: {propagation}'
        )
    recursion = fields.get("bind-recursive", "enabled")
    if recursion not in _RECURSIVE:
        names = '", "'.join(_RECURSIVE[:-1])
        raise fields.error(
            f'invalid value for bind-recursive: {recursion} (must be "{names}", or "readonly")'
        )
    if recursion in {"writable", "readonly"} and not read_only:
        raise fields.error(
            f"option 'bind-recursive={recursion}' requires 'readonly' to be specified in conjunction"
        )
    if recursion == "readonly" and propagation != "rprivate":
        raise fields.error(
            "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified "
            "in conjunction"
        )
    return Bind(
        source_of(fields.get("source"), getcwd),
        target,
        read_only,
        propagation,
        recursive=not fields.is_set("bind-nonrecursive") and recursion != "disabled",
        read_only_below=recursion != "writable",
        chown=fields.is_set("chown"),
        idmap=fields.is_set("idmap"),
    )


def _image(fields: _Fields, target: str) -> ImageMount:
    if not fields.get("source"):
        raise UsageError('invalid mount config for type "image": field Source must not be empty')
    subpath = fields.get("image-subpath")
    _check_subpath(subpath, "image")
    return ImageMount(fields.get("source"), target, subpath)


def _check_subpath(subpath: str, kind: str) -> None:
    if subpath.startswith("/") or ".." in subpath.split("/"):
        raise UsageError(
            f'invalid mount config for type "{kind}": subpath must be a relative path within the '
            "volume"
        )


def _volume(fields: _Fields, target: str, *, read_only: bool) -> Volume:
    from rootless.volumes.options import check_driver

    name, subpath = fields.get("source"), fields.get("volume-subpath")
    check_driver(name, fields.get("volume-driver"))
    if subpath and not name:
        raise UsageError(
            'invalid mount config for type "volume": must not set Subpath when using anonymous '
            "volumes"
        )
    _check_subpath(subpath, "volume")
    return Volume(
        name,
        target,
        read_only,
        nocopy=fields.is_set("volume-nocopy"),
        subpath=subpath,
        labels=fields.pairs("volume-label"),
        driver_options=fields.pairs("volume-opt"),
        by_mount=True,
        chown=fields.is_set("chown"),
    )


def _tmpfs(fields: _Fields, target: str, *, read_only: bool) -> Tmpfs:
    if fields.has("source"):
        raise UsageError(
            'invalid mount config for type "tmpfs": field Source must not be specified'
        )
    options = ["ro"] if read_only else []
    if fields.has("tmpfs-size"):
        size = fields.get("tmpfs-size")
        try:
            options.append(f"size={parse_size(size, '--mount tmpfs-size')}")
        except UsageError:
            raise fields.error(f"invalid value for tmpfs-size: {size}") from None
    mode = fields.get("tmpfs-mode")
    if fields.has("tmpfs-mode"):
        if not mode or set(mode) - set("01234567"):
            raise fields.error(f"invalid value for tmpfs-mode: {mode}")
        options.append(f"mode={mode}")
    return Tmpfs(target, tuple(options), by_mount=True)
