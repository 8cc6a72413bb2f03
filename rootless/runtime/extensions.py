"""The runtime's extensions of the OCI runtime specification: annotations, and the default search path. Pure."""

from __future__ import annotations

from unionfs.light_types import Enum

USER = "io.rootless.user"
"""`name|uid[:group|gid]`; names are looked up in the container's own /etc/passwd and /etc/group,
once its root is mounted. In its absence process.user counts."""
USER_REQUIRED = "io.rootless.user-required"
"""`true`: it is an error if the id map does not have the user. Otherwise a container with a single
id runs as that id, whatever the user is."""
GROUPS = "io.rootless.groups"
"""Names and ids of additional groups, comma-separated; looked up as the user is."""
USER_ENTRY = "io.rootless.user-entry"
GROUP_ENTRY = "io.rootless.group-entry"
"""Lines of passwd(5) and group(5) that the container's files are given, where these are the image's and
have neither the name nor the number."""
USER_ENTRY_FIRST = "io.rootless.user-entry-first"
"""`true`: those lines come first, whatever the files have, and a missing file is made."""
DIRECTORY_REQUIRED = "io.rootless.directory-required"
"""`true`: a working directory that is not there is an error, and is not made."""
INIT = "io.rootless.init"
"""`true`: process 1 is an init that starts the command, forwards signals and reaps."""
PRETEND_OWNERSHIP = "io.rootless.pretend-ownership"
"""`true`: set*id succeeds without effect. For a container with a single id, where it could only fail."""
CHOWN = "io.rootless.chown"
"""What chown, and mknod of a device, does in such a container: a word of ChownMode, or RECORD_IF_POSSIBLE. In its
absence it succeeds without effect."""
RECORD_IF_POSSIBLE = "record-if-possible"
"""RECORD, or PRETEND where the kernel refuses the listener: where no mode is asked for."""

HOLD = "io.rootless.hold"
"""`true`: process 1 executes no command: it holds the namespaces for processes that join them."""

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of a process whose environment has none."""


class ChownMode(Enum):
    """What chown(2), and mknod(2) of a device, does in a container that has a single id, by the words of --chown. With
    more than one the kernel answers, and none of these matters."""

    RECORD = "record"
    """The union keeps the owner or device, so that commit, export and a later run with more ids have it."""
    PRETEND = "pretend"
    """Success, without effect."""
    REFUSE = "refuse"
    """The kernel's answer: EINVAL for any other id, EPERM for a device."""
