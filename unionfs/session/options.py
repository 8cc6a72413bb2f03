"""The part of the mount options that concerns the session."""

from __future__ import annotations

from unionfs.light_types import NamedTuple
from unionfs.session.replies import FOREVER


class ServeOptions(NamedTuple):
    """How to serve. The defaults are for a mount whose layers only its server changes."""

    writeback: bool = True
    """The kernel gathers small writes. On by measurement: docs/decisions/0301. Off where an upper has
    a limit, so that write(2) reports that it is reached: docs/decisions/1671."""
    allow_idmap: bool = False
    posix_acl: bool = True
    """The kernel enforces POSIX ACLs. Without them the attributes of ACLs are refused, as on a file
    system that has none."""
    fsync: bool = True
    """Without it FSYNC is answered ENOSYS: the kernel then reports success to every caller without
    asking ("volatile")."""
    xattrs: bool = True
    """Without them extended attributes are answered ENOSYS, which saves a request on each first
    write and exec."""
    timeout: float = FOREVER
    """Seconds for which the kernel may keep names and attributes."""
    bps: int | None = None
    """Bytes per second of READ and WRITE together; None: no limit."""
    iops: int | None = None
    """READ and WRITE requests per second."""
    readdirplus: bool = True
    """Listings come with the attributes of what is listed."""
    records_owners: bool = False
    """Setting `unionfs.xattr_names.OWNER` or USER_OWNER changes the owner that the upper keeps."""
    root_name: str = ""
    """The name in node 1 under which the kernel finds the root once more, as `LOOKED_UP_ROOT`; empty: there is none."""
    spin: bool = True
    """Poll for the next request before sleeping: see busy_poll.py."""
    debug: bool = False
    """Report every errno on stderr."""


DEFAULTS = ServeOptions()
