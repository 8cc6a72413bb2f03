"""-v, --mount, --tmpfs, --device, --shm-size: what the container sees of the host, and its memory
file systems."""

from __future__ import annotations

import posixpath

from rootless.cli.flags.sizes import parse_size
from rootless.csv_fields import split_fields
from rootless.errors import UsageError
from rootless.spec.options import Bind, Device, Tmpfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.spec.options import UserMount

PROPAGATIONS = frozenset({"rprivate", "private", "rshared", "shared", "rslave", "slave"})

# The words after the second colon of -v. z and Z relabel for SELinux, which there is nothing of to
# do here.
_ACCEPTED = frozenset({"z", "Z", "rw", "ro", "nocopy", "cached", "consistent", "delegated"})
_FLAGS = frozenset({"exec", "noexec", "dev", "nodev", "suid", "nosuid", "bind", "rbind"})
_TMPFS_FLAGS = frozenset(
    [
        "ro",
        "rw",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "sync",
        "async",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "mand",
        "nomand",
        "dirsync",
        "remount",
        "defaults",
    ]
)
_TMPFS_KEYS = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"})


def parse_mounts(
    volumes: Sequence[str], mounts: Sequence[str], tmpfs: Sequence[str], getcwd: Callable[[], str]
) -> tuple[UserMount, ...]:
    """The mounts of all three flags; relative sources are resolved from what `getcwd` returns. Raises UsageError."""
    result: list[UserMount] = [parse_volume(text, getcwd) for text in volumes]
    result += [parse_mount(text, getcwd) for text in mounts]
    result += [parse_tmpfs(text) for text in tmpfs]
    return tuple(result)


def _target(text: str, spec: str) -> str:
    if not text.startswith("/"):
        raise UsageError(
            f"invalid volume specification: {spec!r}: invalid mount path: {text!r} "
            "mount path must be absolute"
        )
    target = posixpath.normpath("/" + text.lstrip("/"))
    if target == "/":
        raise UsageError(f"invalid volume specification: {spec!r}: destination can't be '/'")
    return target


def _source(text: str, getcwd: Callable[[], str]) -> str:
    return posixpath.normpath(posixpath.join("" if text.startswith("/") else getcwd(), text))


def parse_volume(text: str, getcwd: Callable[[], str]) -> Bind:
    """SRC:DST[:OPTIONS]. Raises UsageError."""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise UsageError(f"invalid volume specification: {text!r}", hint="use SOURCE:TARGET[:ro]")
    if len(parts) == 1:
        raise UsageError(
            f"anonymous volume {text!r} is not supported yet",
            hint="bind a directory: -v DIR:TARGET",
        )
    source, target = parts[0], _target(parts[1], text)
    if not source.startswith(("/", "./", "../")) and source not in {".", ".."}:
        raise UsageError(
            f"volume {source!r}: named volumes are not supported yet",
            hint=f"to bind a directory, write ./{source} or its absolute path",
        )
    read_only, propagation, recursive, flags = False, "rprivate", True, []
    for option in parts[2].split(",") if len(parts) == 3 else ():
        if option in {"U", "O"}:
            raise UsageError(f"volume option {option!r} is not supported yet in {text!r}")
        if option in _ACCEPTED:
            read_only = read_only or option == "ro"
        elif option in PROPAGATIONS:
            propagation = option
        elif option in _FLAGS:
            recursive = recursive and option != "bind"
            flags += [option] if not option.endswith("bind") else []
        else:
            raise UsageError(f"invalid volume specification: {text!r}: invalid mode: {option}")
    return Bind(
        _source(source, getcwd),
        target,
        read_only,
        propagation,
        recursive,
        tuple(flags),
        create=True,
    )


_KEYS = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "tmpfs_size": "tmpfs-size",
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
        "consistency",
        "tmpfs-size",
        "tmpfs-mode",
        "tmpfs-options",
        "relabel",
    ]
)
_TRUE = frozenset({"", "1", "t", "true", "True", "TRUE"})
_FALSE = frozenset({"0", "f", "false", "False", "FALSE"})


def parse_mount(text: str, getcwd: Callable[[], str]) -> UserMount:
    """type=bind|tmpfs,src=…,dst=…,…, which is a line of CSV. Raises UsageError."""
    values: dict[str, str] = {}
    for field in _fields(text, "--mount"):
        key, separator, value = field.partition("=")
        key = _KEYS.get(key.strip().lower(), key.strip().lower())
        if key not in _KNOWN:
            raise UsageError(
                f"invalid argument {text!r} for --mount: unexpected key {key!r} in {field!r}"
            )
        if not separator and key not in {"readonly", "bind-nonrecursive"}:
            raise UsageError(
                f"invalid argument {text!r} for --mount: "
                f"invalid field {field!r} must be a key=value pair"
            )
        values[key] = value
    kind = values.get("type", "volume")
    if kind not in {"bind", "tmpfs"}:
        raise UsageError(
            f"--mount type={kind} is not supported yet", hint="use type=bind or type=tmpfs"
        )
    if not values.get("target"):
        raise UsageError(f"invalid argument {text!r} for --mount: target is required")
    target = _target(values["target"], text)
    read_only = _boolean(values, "readonly", text)
    if kind == "tmpfs":
        return _mount_tmpfs(values, target, read_only, text)
    if not values.get("source"):
        raise UsageError(f"invalid argument {text!r} for --mount: source is required")
    if any(key.startswith("tmpfs-") for key in values):
        raise UsageError(f"cannot mix 'tmpfs-*' options with mount type {kind!r}")
    propagation = values.get("bind-propagation", "rprivate")
    if propagation not in PROPAGATIONS:
        raise UsageError(f"invalid propagation mode: {propagation}")
    recursive = not _boolean(values, "bind-nonrecursive", text)
    if values.get("bind-recursive") == "disabled":
        recursive = False
    return Bind(_source(values["source"], getcwd), target, read_only, propagation, recursive)


def _boolean(values: dict[str, str], key: str, text: str) -> bool:
    value = values.get(key, "false")
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise UsageError(f"invalid argument {text!r} for --mount: invalid value for {key}: {value}")


def _mount_tmpfs(values: dict[str, str], target: str, read_only: bool, text: str) -> Tmpfs:
    if "source" in values:
        raise UsageError(f"invalid argument {text!r} for --mount: tmpfs has no source")
    if any(key.startswith("bind-") for key in values):
        raise UsageError("cannot mix 'bind-*' options with mount type 'tmpfs'")
    options = ["ro"] if read_only else []
    if "tmpfs-size" in values:
        options.append(f"size={parse_size(values['tmpfs-size'], '--mount tmpfs-size')}")
    mode = values.get("tmpfs-mode")
    if mode is not None:
        if not mode or set(mode) - set("01234567"):
            raise UsageError(f"invalid argument {text!r} for --mount: invalid mode {mode!r}")
        options.append(f"mode={mode}")
    return Tmpfs(target, tuple(options), by_mount=True)


def parse_tmpfs(text: str) -> Tmpfs:
    """PATH[:OPTIONS]. Raises UsageError."""
    path, _, rest = text.partition(":")
    target = _target(path, text)
    options = tuple(filter(None, _fields(rest, "--tmpfs")))
    for option in options:
        key, separator, value = option.partition("=")
        if (not separator and option not in _TMPFS_FLAGS) or (separator and key not in _TMPFS_KEYS):
            raise UsageError(f"invalid tmpfs option {option!r} in {text!r}")
        if key == "size" and not value.endswith("%"):
            parse_size(value, "--tmpfs size")
    return Tmpfs(target, options)


def parse_device(text: str) -> Device:
    """HOST[:CONTAINER[:rwm]]. Raises UsageError."""
    parts = text.split(":")
    source, target, access = parts[0], parts[0], "rwm"
    if len(parts) > 3 or not all(parts):
        raise UsageError(f"invalid device specification: {text!r}")
    if len(parts) == 2:
        if _is_access(parts[1]):
            access = parts[1]
        else:
            target = parts[1]
    elif len(parts) == 3:
        target, access = parts[1], parts[2]
        if not _is_access(access):
            raise UsageError(f"invalid device mode: {access!r} in {text!r}")
    if not source.startswith("/") or not target.startswith("/"):
        raise UsageError(f"{text!r} is not an absolute path")
    return Device(posixpath.normpath(source), posixpath.normpath(target), access)


def _is_access(text: str) -> bool:
    return bool(text) and set(text) <= set("rwm") and len(set(text)) == len(text)


def _fields(text: str, flag: str) -> list[str]:
    try:
        return split_fields(text)
    except ValueError as error:
        raise UsageError(f"invalid argument {text!r} for {flag}: {error}") from None
