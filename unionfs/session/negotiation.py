"""INIT: negotiates the flags of the kernel and of the session. Pure, no I/O.

The reason for each flag stands beside it; design.md section 7 and docs/decisions/0301 have the
measurements.
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
    # Only the kernel changes data, so a new mtime must not invalidate the cached pages, which is what
    # AUTO_INVAL_DATA does.
    | InitFlag.EXPLICIT_INVAL_DATA
    # One GETXATTR(security.capability) for each file instead of one for each write(2); the server
    # then clears set-id bits and file capabilities at write, truncate and chown.
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
    """The flags that depend on the options of the mount."""

    writeback: bool = False
    allow_idmap: bool = False
    """Only with default_permissions: the kernel fails the mount otherwise (process_init_reply)."""
    posix_acl: bool = False
    readdirplus: bool = True


class Agreement(NamedTuple):
    """The version and flags that are in force."""

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


def negotiate(offer: Init, wishes: Wishes) -> Agreement | Unsupported:
    """Agree on a version and flags.

    A kernel with a newer major number repeats INIT when it reads the server's; an older one is refused
    (fuse.h, "protocol changelog").
    """
    if offer.major > wire.KERNEL_VERSION:
        return Unsupported(wire.INIT_OUT.pack(wire.KERNEL_VERSION, wire.NEWEST_MINOR, *(0,) * 11))
    if offer.major < wire.KERNEL_VERSION or offer.minor < wire.OLDEST_MINOR:
        return Unsupported(None)
    wanted: int = WANTED
    if not wishes.readdirplus:
        wanted &= ~InitFlag.DO_READDIRPLUS
    if wishes.writeback:
        wanted |= InitFlag.WRITEBACK_CACHE
    if wishes.allow_idmap:
        wanted |= InitFlag.ALLOW_IDMAP
    if wishes.posix_acl:
        # A parent's default ACL replaces the umask, so the kernel must not apply the umask first.
        wanted |= InitFlag.POSIX_ACL | InitFlag.DONT_MASK
    return Agreement(
        minor=min(offer.minor, wire.NEWEST_MINOR),
        flags=offer.flags & wanted,
        max_readahead=offer.max_readahead,
    )


def init_out(agreed: Agreement) -> bytes:
    flags = int(agreed.flags)
    return wire.INIT_OUT.pack(
        wire.KERNEL_VERSION,
        agreed.minor,
        agreed.max_readahead,
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
