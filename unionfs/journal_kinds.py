"""The kinds of records of `unionfs.journal`, which a mount without a journal does not import."""

from __future__ import annotations

from unionfs.light_types import IntEnum


class Kind(IntEnum):
    """The kinds of records of a node."""

    DIRECTORY = 1
    """It is a directory of this name in that directory."""
    NAMED = 2
    """It has this name, and a number that is not its `st_ino`."""
    STASHED = 3
    """It has lost its names, and has this one in the work directory."""
    LOWER = 4
    """It has lost its names, and is at a path of the lowers: `pack_lower`."""
    GONE = 5
    """It has lost its names, and is nowhere: `pack_gone`."""
    FORGOTTEN = 6
    """It has a name again, or the kernel has forgotten it: earlier records do not hold."""
    STREAM = 7
    """A directory is being read: its names in the order of their cookies, `pack_names`."""
