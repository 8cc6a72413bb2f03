"""INIT: what the kernel offers against what we want. Pure, no I/O.

Why each flag is or is not asked for is said where it is named; design.md section 7 and
docs/decisions/0301 have the measurements.
"""

from __future__ import annotations

from unionfs.light_types import NamedTuple
from unionfs.session import wire
from unionfs.session.requests import Init
from unionfs.session.wire import InitFlag

MAX_WRITE = 1 << 20
MAX_PAGES = MAX_WRITE // 4096
MAX_BACKGROUND = 64

WANTED = (
    InitFlag.ASYNC_READ
    | InitFlag.BIG_WRITES
    | InitFlag.MAX_PAGES
    | InitFlag.DO_READDIRPLUS
    | InitFlag.PARALLEL_DIROPS
    | InitFlag.NO_OPEN_SUPPORT
    | InitFlag.NO_OPENDIR_SUPPORT
    | InitFlag.CACHE_SYMLINKS
    # Data is never changed behind the kernel's back, so a new mtime must not throw the cached pages
    # away, which is what AUTO_INVAL_DATA does.
    | InitFlag.EXPLICIT_INVAL_DATA
    # One GETXATTR(security.capability) a file instead of one a write(2); suid, sgid and file
    # capabilities are then ours to clear at write, truncate and chown.
    | InitFlag.HANDLE_KILLPRIV_V2
    | InitFlag.SETXATTR_EXT
    | InitFlag.HAS_EXPIRE_ONLY
    | InitFlag.INIT_EXT
)
"""Not asked for: ASYNC_DIO (the kernel does not invalidate the page cache once an asynchronous direct
write has completed, generic_file_direct_write, so later buffered reads would be stale),
ATOMIC_O_TRUNC (OPEN is answered ENOSYS, so no request would truncate), POSIX_LOCKS and FLOCK_LOCKS
(the kernel's own are right for one host), the splice flags (slower than read and write here),
EXPORT_SUPPORT (no file handles that outlive a node), PASSTHROUGH and OVER_IO_URING (need
privilege)."""


class Wishes(NamedTuple):
    """What the mount's options ask of the negotiation."""

    writeback: bool = False
    allow_idmap: bool = False
    """Only with default_permissions: the kernel fails the mount otherwise (process_init_reply)."""
    posix_acl: bool = False


class Session(NamedTuple):
    """What was agreed."""

    minor: int
    flags: int
    """Of InitFlag."""
    max_readahead: int

    def has(self, flag: InitFlag) -> bool:
        return bool(self.flags & flag)


class Unsupported(NamedTuple):
    """The kernel speaks another protocol; `reply` is the payload to answer with, None if it must be
    refused."""

    reply: bytes | None


def negotiate(offer: Init, wishes: Wishes) -> Session | Unsupported:
    """Agree on a version and flags.

    A kernel with a newer major number repeats INIT when it reads ours; an older one is refused
    (fuse.h, "protocol changelog").
    """
    if offer.major > wire.KERNEL_VERSION:
        return Unsupported(wire.INIT_OUT.pack(wire.KERNEL_VERSION, wire.NEWEST_MINOR, *(0,) * 11))
    if offer.major < wire.KERNEL_VERSION or offer.minor < wire.OLDEST_MINOR:
        return Unsupported(None)
    wanted: int = WANTED
    if wishes.writeback:
        wanted |= InitFlag.WRITEBACK_CACHE
    if wishes.allow_idmap:
        wanted |= InitFlag.ALLOW_IDMAP
    if wishes.posix_acl:
        # A parent's default ACL replaces the umask, so the kernel must not have applied it already.
        wanted |= InitFlag.POSIX_ACL | InitFlag.DONT_MASK
    return Session(
        minor=min(offer.minor, wire.NEWEST_MINOR),
        flags=offer.flags & wanted,
        max_readahead=offer.max_readahead,
    )


def init_out(session: Session) -> bytes:
    flags = int(session.flags)
    return wire.INIT_OUT.pack(
        wire.KERNEL_VERSION,
        session.minor,
        session.max_readahead,
        flags & 0xFFFFFFFF,
        MAX_BACKGROUND,
        MAX_BACKGROUND * 3 // 4,
        MAX_WRITE,
        1,
        MAX_PAGES,
        0,
        flags >> 32,
        0,
        0,
    )
