"""Mount options: the grammar of fuse-overlayfs, with ours beside it. Pure: text in, value out, and
back.

Options are separated by commas, directories and numbers within one by colons. A backslash takes
the next character as it is (`\\,` `\\:` `\\\\`), in values as in lists; a value in double quotes
may hold commas (context="a,b", as mount(8) writes it).

What is accepted for the sake of callers but decides nothing here is in IGNORED, with the reason;
what nobody knows is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class OptionError(ValueError):
    """An option that is unknown, or a value that is not one of its own. The text is one line for
    the user."""


class IdMapping(NamedTuple):
    """`length` ids from `first` on are shown as those from `mapped` on
    (uidmapping=FIRST:MAPPED:LENGTH)."""

    first: int
    mapped: int
    length: int


class Options(NamedTuple):
    """All that can be asked of a mount. The defaults are fuse-overlayfs's, except where a docstring
    says so."""

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
    acl: bool = False
    """fuse-overlayfs has it on; it costs a request per permission check of a group
    (fs/fuse/acl.c)."""
    xattr_permissions: int = 0
    """1 and 2: owner and mode of new files are kept in an extended attribute, not on the file."""
    ownership: str | None = None
    """`data` or `real`; None: `data` if xattr_permissions is given, else `real`."""
    writeback: bool | None = None
    """None: as the session thinks best."""
    spin: bool = True
    """Whether the server may look for the next request before it sleeps."""
    timeout: float | None = None
    lazy: int | None = None
    """From how many bytes on a file is copied up lazily; None: never, so that anybody can read the
    upper at any time. Under `real` ownership the copies are completed when the mount ends."""
    """Seconds for which names and attributes hold; None: until the server changes them."""
    xino: str = "auto"
    redirect_dir: str = "on"
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

    @property
    def ownership_is_data(self) -> bool:
        return (self.ownership or ("data" if self.xattr_permissions else "real")) == "data"


IGNORED = frozenset(
    {
        # One thread answers requests here, and long ones get their own.
        "threaded",
        "clone_fd",
        "max_threads",
        "max_idle_threads",
        # Inode numbers are always unique, and cost nothing extra.
        "fast_ino",
        # libfuse 2 wanted it for a mount point that is not empty; nobody does any more.
        "nonempty",
        # For mount(8) and systemd, which leave them in what they hand to a helper.
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
        # What these ask for is so in any case: see fuse(4); the kernel keeps FUSE's times as it
        # does.
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
    """The options of one comma-separated list; of several `-o`, join them with commas. Later ones
    win.

    Raises OptionError.
    """
    found: dict[str, Any] = {}
    for option in split(text, ","):
        name, equals, value = option.partition("=")
        if not name or name in IGNORED or name.startswith(("x-", "X-", "comment")):
            continue
        if name == "plugins":
            _without_plugins(value)
            continue
        flag = _FLAGS.get(name)
        if flag is not None and (not equals or name in _BOOLEANS):
            field, meaning = flag
            found[field] = meaning if not equals else meaning == _boolean(name, value)
            continue
        reader = _VALUES.get(name)
        if reader is None:
            why = "takes no value" if flag is not None else "is unknown"
            raise OptionError(f"option {name!r} {why}")
        if not equals:
            raise OptionError(f"option {name!r} needs a value")
        field, read = reader
        found[field] = read(name, value)
    return Options(**found)


def format_options(options: Options) -> str:
    """The list that `parse` reads back as the same value; what is as by default is left out."""
    default = Options()
    parts = []
    for field, value in options._asdict().items():
        if value != getattr(default, field):
            parts.extend(_WRITERS[field](value))
    return ",".join(parts)


def split(text: str, separator: str) -> list[str]:
    """Split at every separator that no backslash or pair of double quotes protects. Backslashes
    stay."""
    parts = [""]
    quoted = False
    characters = iter(text)
    for character in characters:
        if character == "\\":
            parts[-1] += character + next(characters, "")
        elif character == separator and not quoted:
            parts.append("")
        else:
            # A quotation begins with a value and ends with it; elsewhere the mark is a character.
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
    """What `unescape` undoes, safe between commas and colons and after an equals sign."""
    return "".join("\\" + c if c in '\\,:"' else c for c in text)


# ---- reading values ----------------------------------------------------------------------------


def _text(name: str, value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    if not value:
        raise OptionError(f"option {name!r} needs a value")
    return unescape(value)


def _directories(name: str, value: str) -> tuple[str, ...]:
    directories = tuple(unescape(part) for part in split(value, ":"))
    if not all(directories):
        raise OptionError(f"option {name!r} names an empty directory")
    return directories


def _number(name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise OptionError(f"option {name!r} needs a number, not {value!r}")
    return int(value)


def _size(name: str, value: str) -> int | None:
    """Bytes, with K, M or G for powers of 1024; None for `off`."""
    if value == "off":
        return None
    unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(value[-1:].upper())
    return _number(name, value[:-1]) * unit if unit else _number(name, value)


def _id(name: str, value: str) -> int:
    number = _number(name, value)
    # (uid_t) -1 means "leave it" to chown(2): no file can be owned by it.
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
    numbers = [_id(name, part) for part in value.split(":")]
    if len(numbers) % 3:
        raise OptionError(f"option {name!r} needs triples ID:MAPPED:LENGTH, not {value!r}")
    return tuple(IdMapping(*numbers[i : i + 3]) for i in range(0, len(numbers), 3))


def _boolean(name: str, value: str) -> bool:
    meaning = {"0": False, "1": True, "off": False, "on": True}.get(value)
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
    return int(_one_of("0", "1", "2")(name, value))


def _without_plugins(value: str) -> None:
    if value:
        raise OptionError("option 'plugins': plug-ins of fuse-overlayfs cannot be loaded here")


_FLAGS: dict[str, tuple[str, bool]] = {
    "squash_to_root": ("squash_to_root", True),
    "static_nlink": ("static_nlink", True),
    "volatile": ("volatile", True),
    "fsync": ("fsync", True),
    "nofsync": ("fsync", False),
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
}

_BOOLEANS = frozenset(
    {
        "fsync",
        "xattrs",
        "noxattrs",
        "writeback",
        "spin",
        "volatile",
        "static_nlink",
        "squash_to_root",
    }
)
"""Flags that may also be written NAME=0 and NAME=1."""

_VALUES: dict[str, tuple[str, Callable[[str, str], object]]] = {
    "lowerdir": ("lowerdirs", _directories),
    "upperdir": ("upperdir", _text),
    "workdir": ("workdir", _text),
    "uidmapping": ("uid_mappings", _mappings),
    "gidmapping": ("gid_mappings", _mappings),
    "squash_to_uid": ("squash_to_uid", _id),
    "squash_to_gid": ("squash_to_gid", _id),
    "xattr_permissions": ("xattr_permissions", _xattr_permissions),
    "ownership": ("ownership", _one_of("data", "real")),
    "timeout": ("timeout", _seconds),
    "lazy": ("lazy", _size),
    "xino": ("xino", _one_of("auto", "on", "off")),
    "redirect_dir": ("redirect_dir", _one_of("on", "off")),
    "session": ("session", _one_of("auto", "device", "pyfuse3")),
    "context": ("context", _text),
    "fsname": ("fsname", _text),
    "subtype": ("subtype", _text),
    "max_read": ("max_read", _number),
}


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
