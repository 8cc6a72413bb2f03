"""Mount options: those of fuse-overlayfs, and those that only this program has. Pure: text in, value
out, and back.

Options are separated by commas, directories and numbers within one by colons. A backslash takes
the next character as it is (`\\,` `\\:` `\\\\`), in values as in lists; a value in double quotes
may hold commas (context="a,b", as mount(8) writes it).

Callers pass options that have no effect here. Those in NO_EFFECT are dropped; any other one that this
program does not know becomes `Options.unknown`, which the command reports and ignores, as
fuse-overlayfs does: `index=off` and `userxattr` of kernel overlayfs, `private` of buildah. An option
that would change what the union shows or stores, and is not supported, is an error.
"""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class OptionError(ValueError):
    """An option that is not supported, or a malformed value. The text is one line for the user."""


LAZY_SIZE = 1 << 20
"""Bytes from which files are copied up lazily where that is on by default."""


class IdMapping(NamedTuple):
    """`length` ids from `first` on are shown as those from `mapped` on
    (uidmapping=FIRST:MAPPED:LENGTH)."""

    first: int
    mapped: int
    length: int


class Options(NamedTuple):
    """The options of a mount. The defaults are fuse-overlayfs's, except where a docstring says
    otherwise."""

    lowerdirs: tuple[str, ...] = ()
    """Topmost first."""
    upperdir: str | None = None
    workdir: str | None = None
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    squash_to_root: bool = False
    squash_to_uid: int | None = None
    squash_to_gid: int | None = None
    static_nlink: bool = False
    volatile: bool = False
    fsync: bool = True
    xattrs: bool = True
    acl: bool = True
    """POSIX ACLs, for one request for each object that another user than its owner comes to
    (fs/fuse/acl.c)."""
    xattr_permissions: int = 0
    """1 and 2: owner and mode of new files are kept in an extended attribute, not on the file."""
    ownership: str | None = None
    """`data` or `real`; None: `data` if xattr_permissions is given, else `real`."""
    writeback: bool | None = None
    """None: the session's default."""
    spin: bool = True
    """Whether the server may poll for the next request before it sleeps."""
    timeout: float | None = None
    """Seconds for which the kernel may keep names and attributes; None: until the server changes
    them."""
    lazy: int | None = None
    """Bytes from which files are copied up lazily; 0: no file is; None: see `lazy_size`."""
    size: int | None = None
    """Bytes that the upper may hold; None: as many as its file system has."""
    inodes: int | None = None
    bps: int | None = None
    """Bytes per second that are read and written; None: no limit."""
    iops: int | None = None
    """Reads and writes per second."""
    xino: str = "auto"
    redirect_dir: str = "off"
    """`off`: renaming a directory of a lower is EXDEV, and mv(1) copies it. `on`: it is renamed, with
    an extended attribute that fuse-overlayfs does not follow, nor kernel overlayfs by default. The
    union itself follows such attributes with either value."""
    session: str = "auto"
    context: str | None = None
    read_only: bool = False
    nosuid: bool = False
    nodev: bool = False
    noexec: bool = False
    noatime: bool = False
    allow_other: bool = False
    allow_root: bool = False
    default_permissions: bool = False
    auto_unmount: bool = False
    fsname: str | None = None
    subtype: str | None = None
    max_read: int | None = None
    debug: bool = False
    remount: bool = False
    """Change the flags of a mount that is there."""
    unknown: tuple[str, ...] = ()
    """Options without effect, as they were written: the command reports each. Not part of
    `format_options`."""

    @property
    def lazy_size(self) -> int | None:
        """Bytes from which files are copied up lazily; None: no file is.

        By default lazy copies are made only under `ownership=data`. Under `real` ownership other
        programs (fuse-overlayfs, kernel overlayfs, podman) read the upper, and they must find
        complete files at any time, even after the server was killed.
        """
        if self.lazy is not None:
            return self.lazy or None
        return LAZY_SIZE if self.ownership == "data" else None

    @property
    def ownership_is_data(self) -> bool:
        return (self.ownership or ("data" if self.xattr_permissions else "real")) == "data"


NO_EFFECT = frozenset(
    {
        # One thread answers requests, and long ones get a thread of their own.
        "threaded",
        "clone_fd",
        "max_threads",
        "max_idle_threads",
        # Inode numbers are always unique, without a check at mount time.
        "fast_ino",
        "fast_ino_check",
        "ino32_t",
        # libfuse decides about these by itself since version 3.
        "nonempty",
        "big_writes",
        "kernel_cache",
        "max_write",
        "splice_move",
        "splice_read",
        "splice_write",
        # Instructions for mount(8) and systemd, which pass them to mount helpers as well.
        "_netdev",
        "auto",
        "defaults",
        "group",
        "lazytime",
        "loud",
        "nofail",
        "noauto",
        "nolazytime",
        "nogroup",
        "noowner",
        "nouser",
        "nousers",
        "owner",
        "silent",
        "user",
        "users",
        # FUSE has these by default: fuse(4). The server, not the kernel, keeps access times.
        "async",
        "atime",
        "diratime",
        "nodiratime",
        "norelatime",
        "nostrictatime",
        "relatime",
        "strictatime",
    }
)


def parse(text: str) -> Options:
    """The options of one comma-separated list; join those of several `-o` with commas. A later option
    replaces an earlier one.

    Raises OptionError.
    """
    found: dict[str, Any] = {}
    unknown: list[str] = []
    for option in split(text, ","):
        name, equals, value = option.partition("=")
        if not name or name in NO_EFFECT or name.startswith(("x-", "X-", "comment")):
            continue
        if name in _REFUSED:
            if value:
                raise OptionError(f"option {name!r}: {_REFUSED[name]}")
            continue
        flag = _FLAGS.get(name)
        if flag is not None and (not equals or name in _BOOLEANS):
            field, meaning = flag
            found[field] = meaning if not equals else meaning == _boolean(name, value)
            continue
        reader = _VALUES.get(name)
        if reader is None and flag is None:
            unknown.append(option)
            continue
        if reader is None:
            raise OptionError(f"option {name!r} takes no value")
        if not equals:
            raise OptionError(f"option {name!r} needs a value")
        field, read = reader
        found[field] = read(name, value)
    return Options(**found, unknown=tuple(unknown))


def format_options(options: Options) -> str:
    """The list that `parse` reads back as the same value, without the defaults."""
    default = Options()
    parts = []
    for field, value in options._asdict().items():
        if field != "unknown" and value != getattr(default, field):
            parts.extend(_WRITERS[field](value))
    return ",".join(parts)


def split(text: str, separator: str) -> list[str]:
    """Split at each separator that is neither quoted nor escaped. Backslashes stay."""
    parts = [""]
    quoted = False
    characters = iter(text)
    for character in characters:
        if character == "\\":
            parts[-1] += character + next(characters, "")
        elif character == separator and not quoted:
            parts.append("")
        else:
            # Quotes enclose a whole value; elsewhere a quote is an ordinary character.
            if character == '"' and (quoted or parts[-1].endswith("=")):
                quoted = not quoted
            parts[-1] += character
    return parts


def unescape(text: str) -> str:
    """Each backslash gone, the character after it kept; one at the end stands for itself."""
    result = ""
    characters = iter(text)
    for character in characters:
        result += next(characters, "\\") if character == "\\" else character
    return result


def escape(text: str) -> str:
    """The inverse of `unescape`, safe between commas and colons and after an equals sign."""
    return "".join("\\" + c if c in '\\,:"' else c for c in text)


# ---- reading values ----------------------------------------------------------------------------


def _text(name: str, value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    if not value:
        raise OptionError(f"option {name!r} needs a value")
    return unescape(value)


def _directories(name: str, value: str) -> tuple[str, ...]:
    """An empty item at either end is dropped, as fuse-overlayfs does. Kernel overlayfs takes `::` before
    layers that hold only data of files; such layers are not supported."""
    parts = split(value, ":")
    directories = tuple(unescape(part) for part in parts if part)
    if not directories or not all(parts[1:-1]):
        raise OptionError(f"option {name!r} names an empty directory")
    return directories


def _number(name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise OptionError(f"option {name!r} needs a number, not {value!r}")
    return int(value)


def _size(name: str, value: str) -> int:
    """Bytes, with K, M, G or T for powers of 1024; 0 for `off`."""
    if value == "off":
        return 0
    unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}.get(value[-1:].upper())
    return _number(name, value[:-1]) * unit if unit else _number(name, value)


def _limit(name: str, value: str) -> int | None:
    """As `_size`; None for 0 and `off`."""
    return _size(name, value) or None


def _count(name: str, value: str) -> int | None:
    """A number, with k or m for a thousand and a million; None for 0 and `off`."""
    if value == "off":
        return None
    unit = {"K": 1000, "M": 1_000_000}.get(value[-1:].upper())
    return (_number(name, value[:-1]) * unit if unit else _number(name, value)) or None


def _id(name: str, value: str) -> int:
    number = _number(name, value)
    # To chown(2) an id of (uid_t) -1 means "do not change": no file can have it.
    if number >= 0xFFFFFFFF:
        raise OptionError(f"option {name!r} needs an id below 4294967295, not {value}")
    return number


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise OptionError(f"option {name!r} needs a number of seconds, not {value!r}")
    return seconds


def _mappings(name: str, value: str) -> tuple[IdMapping, ...]:
    # containers/storage writes a colon before the first number, too.
    numbers = [_id(name, part) for part in value.split(":") if part]
    if len(numbers) % 3:
        raise OptionError(f"option {name!r} needs triples ID:MAPPED:LENGTH, not {value!r}")
    return tuple(IdMapping(*numbers[i : i + 3]) for i in range(0, len(numbers), 3))


def _boolean(name: str, value: str) -> bool:
    """A number, 0 for no, as in fuse-overlayfs; or on, off."""
    if value.isascii() and value.isdigit():
        return value.strip("0") != ""
    meaning = {"off": False, "on": True}.get(value)
    if meaning is None:
        raise OptionError(f"option {name!r} is 0 or 1, not {value!r}")
    return meaning


def _one_of(*allowed: str) -> Callable[[str, str], str]:
    def read(name: str, value: str) -> str:
        if value not in allowed:
            raise OptionError(f"option {name!r} is {' or '.join(allowed)}, not {value!r}")
        return value

    return read


def _xattr_permissions(name: str, value: str) -> int:
    return int(_one_of(*VALUES_OF["xattr_permissions"])(name, value))


def _redirect(name: str, value: str) -> str:
    """`off`, or kernel overlayfs's `follow`, which means the same here."""
    return "on" if _one_of("on", "off", "follow")(name, value) == "on" else "off"


_REFUSED = {
    "plugins": "plug-ins of fuse-overlayfs cannot be loaded here",
    "lowerdir+": "not supported; list all lower directories in lowerdir=A:B",
    "datadir+": "layers that hold only data of files are not supported",
}
"""Options that would change which files the union shows."""


_FLAGS: dict[str, tuple[str, bool]] = {
    "squash_to_root": ("squash_to_root", True),
    "static_nlink": ("static_nlink", True),
    "volatile": ("volatile", True),
    "fsync": ("fsync", True),
    "nofsync": ("fsync", False),
    "sync": ("fsync", True),
    "xattrs": ("xattrs", True),
    "noxattrs": ("xattrs", False),
    "acl": ("acl", True),
    "noacl": ("acl", False),
    "writeback": ("writeback", True),
    "nowriteback": ("writeback", False),
    "spin": ("spin", True),
    "nospin": ("spin", False),
    "ro": ("read_only", True),
    "rw": ("read_only", False),
    "nosuid": ("nosuid", True),
    "suid": ("nosuid", False),
    "nodev": ("nodev", True),
    "dev": ("nodev", False),
    "noexec": ("noexec", True),
    "exec": ("noexec", False),
    "noatime": ("noatime", True),
    "allow_other": ("allow_other", True),
    "allow_root": ("allow_root", True),
    "default_permissions": ("default_permissions", True),
    "auto_unmount": ("auto_unmount", True),
    "debug": ("debug", True),
    "remount": ("remount", True),
}

_BOOLEANS = frozenset(
    {
        "fsync",
        "sync",
        "xattrs",
        "noxattrs",
        "writeback",
        "spin",
        "volatile",
        "static_nlink",
        "squash_to_root",
    }
)
"""Flags that may also be written NAME=NUMBER, where 0 is off."""

VALUES_OF: dict[str, tuple[str, ...]] = {
    "ownership": ("real", "data"),
    "redirect_dir": ("on", "off"),
    "session": ("auto", "device", "pyfuse3"),
    "xino": ("auto", "on", "off"),
    "xattr_permissions": ("0", "1", "2"),
}
"""Of the options with few values: those."""

_VALUES: dict[str, tuple[str, Callable[[str, str], object]]] = {
    "lowerdir": ("lowerdirs", _directories),
    "upperdir": ("upperdir", _text),
    "workdir": ("workdir", _text),
    "uidmapping": ("uid_mappings", _mappings),
    "gidmapping": ("gid_mappings", _mappings),
    "squash_to_uid": ("squash_to_uid", _id),
    "squash_to_gid": ("squash_to_gid", _id),
    "xattr_permissions": ("xattr_permissions", _xattr_permissions),
    "ownership": ("ownership", _one_of(*VALUES_OF["ownership"])),
    "timeout": ("timeout", _seconds),
    "lazy": ("lazy", _size),
    "size": ("size", _limit),
    "inodes": ("inodes", _count),
    "bps": ("bps", _limit),
    "iops": ("iops", _count),
    "xino": ("xino", _one_of(*VALUES_OF["xino"])),
    "redirect_dir": ("redirect_dir", _redirect),
    "session": ("session", _one_of(*VALUES_OF["session"])),
    "context": ("context", _text),
    "fsname": ("fsname", _text),
    "subtype": ("subtype", _text),
    "max_read": ("max_read", _number),
}


def names() -> list[tuple[str, bool]]:
    """Every option that has an effect, and whether it takes a value."""
    return sorted([*((name, False) for name in _FLAGS), *((name, True) for name in _VALUES)])


# ---- writing values ----------------------------------------------------------------------------


def _flag_writer(field: str) -> Callable[[Any], list[str]]:
    names = {meaning: name for name, (f, meaning) in reversed(_FLAGS.items()) if f == field}
    return lambda value: [names[value]]


def _value_writer(name: str) -> Callable[[Any], list[str]]:
    return lambda value: [f"{name}={escape(str(value))}"]


def _mapping_writer(name: str) -> Callable[[Any], list[str]]:
    return lambda value: [f"{name}=" + ":".join(str(n) for mapping in value for n in mapping)]


def _directory_writer(value: Sequence[str]) -> list[str]:
    return ["lowerdir=" + ":".join(escape(directory) for directory in value)]


_WRITERS: dict[str, Callable[[Any], list[str]]] = (
    {field: _flag_writer(field) for field, _ in _FLAGS.values()}
    | {field: _value_writer(name) for name, (field, _) in _VALUES.items()}
    | {
        "lowerdirs": _directory_writer,
        "uid_mappings": _mapping_writer("uidmapping"),
        "gid_mappings": _mapping_writer("gidmapping"),
    }
)
