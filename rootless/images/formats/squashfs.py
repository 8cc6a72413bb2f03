"""A squashfs image, in a file of its own or in a SIF file, as a layer in place, which squashfuse serves."""

from __future__ import annotations

import os
from typing import NamedTuple

from rootless.errors import InvalidDocumentError, NotFoundError
from rootless.images.formats.sif import HEADER_SIZE, is_sif, system_partition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.directory.lower import DirectoryLayer

_MAGIC = b"hsqs"
# The first numbers inodes as the image does, so that the names of one file are seen to be of one.
_PROGRAMS = ("squashfuse_ll", "squashfuse")


class SquashfsImage(NamedTuple):
    """A squashfs at `offset` of a file, for this architecture as far as it says, and the offsets of the ext3 images that
    lie over it, bottom first."""

    path: str
    offset: int
    architecture: str
    overlays: tuple[int, ...] = ()


def find_squashfs(path: str) -> SquashfsImage | None:
    """The squashfs in a file; None if it is neither squashfs nor SIF. Raises NotFoundError, InvalidDocumentError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise NotFoundError(f"open {path}: {(error.strerror or '').lower()}") from None
    try:
        try:
            head = os.pread(fd, HEADER_SIZE, 0)
        except OSError:  # a directory, a pipe
            return None
        if head.startswith(_MAGIC):
            return SquashfsImage(path, 0, "")
        if not is_sif(head):
            return None
        size = os.fstat(fd).st_size
        found = system_partition(lambda count, offset: os.pread(fd, count, offset), size, path)
        if os.pread(fd, len(_MAGIC), found.offset) != _MAGIC:
            raise InvalidDocumentError(f"the root file system of {path} is not squashfs")
        return SquashfsImage(path, found.offset, found.architecture, found.overlays)
    finally:
        os.close(fd)


def open_squashfs(image: SquashfsImage) -> DirectoryLayer:
    """The image as a layer; owners are those that it says. Raises HostSupportError,
    InvalidDocumentError."""
    from rootless.images.formats.fuse_program import served
    from unionfs.directory.lower import DirectoryLayer
    from unionfs.ownership import Ownership

    options = (f"offset={image.offset}", "ro", "nosuid", "nodev")
    with served(image.path, _PROGRAMS, options, package="squashfuse") as mountpoint:
        try:
            layer = DirectoryLayer(os.fsencode(mountpoint), ownership=Ownership.REAL)
            try:
                # What is no squashfs behind its first bytes is found when it is looked at.
                list(layer.listing(layer.root().ref))
            except BaseException:
                layer.close()
                raise
            return layer
        except OSError as error:
            raise InvalidDocumentError(
                f"cannot read {image.path}: its squashfs is damaged: {error.strerror}"
            ) from error
