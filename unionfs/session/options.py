"""How a session serves a mount: the part of the mount options that is the session's."""

from __future__ import annotations

from unionfs.light_types import NamedTuple
from unionfs.session.replies import FOREVER


class ServeOptions(NamedTuple):
    """How to serve. The defaults are right for a mount that nobody else changes."""

    writeback: bool = True
    """The kernel gathers small writes. On by measurement: docs/decisions/0301."""
    allow_idmap: bool = False
    posix_acl: bool = True
    """The kernel enforces POSIX ACLs. Without them the attributes of ACLs are refused, as on a file
    system that has none."""
    fsync: bool = True
    """Without it FSYNC is answered ENOSYS: the kernel then tells callers that all is on disk
    ("volatile")."""
    xattrs: bool = True
    """Without them extended attributes are answered ENOSYS, which saves a request on each first
    write and exec."""
    timeout: float = FOREVER
    """Seconds for which the kernel may keep names and attributes."""
    spin: bool = True
    """Look for the next request for a moment before sleeping: `session.waiting`."""
    debug: bool = False
    """Every errno is told on stderr."""


DEFAULTS = ServeOptions()
