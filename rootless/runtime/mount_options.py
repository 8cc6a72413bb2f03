"""The options of one mount: from the words of mount(8) to the flags of the kernel. Pure."""

from __future__ import annotations

from rootless.syscalls.mount_flags import (
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME,
    MS_PRIVATE,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
)
from unionfs.light_types import NamedTuple

ATTRIBUTES = {
    "ro": MOUNT_ATTR_RDONLY,
    "nosuid": MOUNT_ATTR_NOSUID,
    "nodev": MOUNT_ATTR_NODEV,
    "noexec": MOUNT_ATTR_NOEXEC,
    "noatime": MOUNT_ATTR_NOATIME,
    "nodiratime": MOUNT_ATTR_NODIRATIME,
    "strictatime": MOUNT_ATTR_STRICTATIME,
    "nosymfollow": MOUNT_ATTR_NOSYMFOLLOW,
}
PROPAGATION = {
    "shared": MS_SHARED,
    "rshared": MS_SHARED,
    "slave": MS_SLAVE,
    "rslave": MS_SLAVE,
    "private": MS_PRIVATE,
    "rprivate": MS_PRIVATE,
    "unbindable": MS_UNBINDABLE,
    "runbindable": MS_UNBINDABLE,
}
CLEARING = {
    "rw": MOUNT_ATTR_RDONLY,
    "suid": MOUNT_ATTR_NOSUID,
    "dev": MOUNT_ATTR_NODEV,
    "exec": MOUNT_ATTR_NOEXEC,
    "atime": MOUNT_ATTR_NOATIME,
    "diratime": MOUNT_ATTR_NODIRATIME,
    "symfollow": MOUNT_ATTR_NOSYMFOLLOW,
}
IF_PARENT_EXISTS = "x-rootless.if-parent-exists"
"""A bind that is left out where the directory of its target is missing. Words with x- are for
programs (mount(8))."""

VOLUME = "x-rootless.volume="
OVERLAY = "x-rootless.overlay="
IMAGE = "x-rootless.image="
SERVED = (VOLUME, OVERLAY, IMAGE)
"""Words before which kind of mount it is that is not of the source itself, but of a file system that a file
server shows (`LaunchArgs.trees`): the name of a volume; the ownership in a directory that is copied on write; the
id of an image."""
TMPFS = "x-rootless.tmpfs"
"""The volume is a tmpfs, with the options in its record."""
OWN = "x-rootless.own"
"""The source is the target itself, in the container's root: a mount whose flags are not the root's."""
SUBPATH = "x-rootless.subpath="
"""Before a path inside such a mount, which is mounted in place of the whole."""
OF_CONTAINER = "x-rootless.of-container"
"""The source is a path of the container whose namespaces are shared: its mount there is brought by the parent
(`LaunchArgs.trees`)."""
CHOWN = "x-rootless.chown"
"""What is mounted is given to the container's user."""

_IGNORED = frozenset(
    {"defaults", "async", "relatime", "norelatime", "nostrictatime", "mand", "nomand", "remount"}
)


class MountOptions(NamedTuple):
    """`attributes` and `recursive_attributes` are MOUNT_ATTR_* bits, `propagation` an MS_* flag,
    `data` the file system's."""

    bind: bool
    recursive: bool
    attributes: int
    recursive_attributes: int
    propagation: int
    optional: bool
    data: tuple[str, ...]
    served: str = ""
    """One of the words that begin with those of SERVED."""
    subpath: str = ""
    chown: bool = False
    own: bool = False
    of_container: bool = False
    tmpfs: bool = False


_WORDS = {
    IF_PARENT_EXISTS: "optional",
    CHOWN: "chown",
    OWN: "own",
    OF_CONTAINER: "of_container",
    TMPFS: "tmpfs",
}
"""Words of this program without a value, and the fields of MountOptions that they set."""


def parse_mount_options(options: tuple[str, ...], *, bind: bool = False) -> MountOptions:
    """Read the `options` of a mount of the runtime spec; a later word wins over an earlier one."""
    recursive = False
    attributes = recursive_attributes = 0
    propagation = MS_PRIVATE
    served = subpath = ""
    flags: dict[str, bool] = {}
    data = []
    for option in options:
        if option in {"bind", "rbind"}:
            bind, recursive = True, option == "rbind"
        elif option in ATTRIBUTES:
            attributes |= ATTRIBUTES[option]
        elif option in CLEARING:
            attributes &= ~CLEARING[option]
        elif option.startswith("r") and option[1:] in ATTRIBUTES:
            recursive_attributes |= ATTRIBUTES[option[1:]]
        elif option in PROPAGATION:
            propagation = PROPAGATION[option]
        elif option in _WORDS:
            flags[_WORDS[option]] = True
        elif option.startswith(SERVED):
            served = option
        elif option.startswith(SUBPATH):
            subpath = option.removeprefix(SUBPATH)
        elif option not in _IGNORED:
            data.append(option)
    return MountOptions(
        bind,
        recursive,
        attributes,
        recursive_attributes,
        propagation,
        flags.get("optional", False),
        tuple(data),
        served,
        subpath,
        flags.get("chown", False),
        flags.get("own", False),
        flags.get("of_container", False),
        flags.get("tmpfs", False),
    )
