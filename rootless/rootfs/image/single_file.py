"""Writes an image, or a directory, as one file, squashfs or SIF, for file systems on which many small files are slow.

The layers are read through their union and handed to mksquashfs(1) as a tar archive: nothing is unpacked.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import tempfile
from contextlib import closing
from shutil import which
from typing import TYPE_CHECKING, NamedTuple

from rootless.containers.launch_description import HostTree
from rootless.durable import fsync_directory, fsync_file, write_all
from rootless.errors import ExistsError, HostSupportError, RootlessError
from rootless.images.formats.sif import DATA_OFFSET, sif_head
from rootless.images.formats.squashfs import find_squashfs
from rootless.oci.platform import host_platform
from rootless.rootfs.image.added_files import DIRECTORIES, EMPTY_FILES, script_files
from rootless.rootfs.image.tree import image_tree
from rootless.rootfs.union import lower_layers
from unionfs.changes.snapshot import Snapshot
from unionfs.directory.lower import DirectoryLayer
from unionfs.memory import MemoryLayer, MemoryNode, directory, regular
from unionfs.ownership import Ownership

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rootless.store.image import Image
    from rootless.store.layout import Store

COMPRESSIONS = ("gzip", "zstd", "lz4", "xz")
"""Every squashfs driver reads the first."""


def write_image_file(
    store: Store,
    image: Image,
    path: Path,
    *,
    sif: bool,
    compression: str = "gzip",
    replace: bool = False,
    moved: Callable[[int], None] | None = None,
) -> None:
    """Write the files of an image to a file that is complete or not there.

    Args:
        sif: Write a SIF file and not bare squashfs.
        compression: One of COMPRESSIONS.
        replace: Replace a file that is there.
        moved: Called with the size of each piece.

    Raises:
        ExistsError: there is a file, and `replace` is not set.
        HostSupportError: mksquashfs is missing or too old.
        RootlessError: it failed.
    """
    kind = (
        _Sif(image.platform.architecture, bytes.fromhex(image.id.rpartition(":")[2][:32]))
        if sif
        else None
    )
    _write(lambda: _snapshot(store, image), path, kind, compression, moved, replace=replace)


def write_files(
    source: str,
    path: Path,
    *,
    sif: bool,
    compression: str = "gzip",
    replace: bool = False,
    moved: Callable[[int], None] | None = None,
) -> None:
    """Write the files of a directory, or of a SIF or squashfs file, as `write_image_file` does. Those of the caller in a
    directory are root's in the file.

    Raises as `write_image_file`.
    """
    image = None if os.path.isdir(source) else find_squashfs(source)
    architecture = (image and image.architecture) or host_platform().architecture
    kind = _Sif(architecture, os.urandom(16)) if sif else None
    _write(lambda: _files_of(source), path, kind, compression, moved, replace=replace)


class _Sif(NamedTuple):
    """What the head of a SIF file says."""

    architecture: str
    identity: bytes


def _write(
    snapshot: Callable[[], Snapshot],
    path: Path,
    sif: _Sif | None,
    compression: str,
    moved: Callable[[int], None] | None,
    *,
    replace: bool,
) -> None:
    if path.exists() and not replace:
        raise ExistsError(f"{path} exists", hint="use --force to replace it")
    if not path.parent.is_dir():
        raise RootlessError(f"cannot write {path}: the directory does not exist")
    offset = DATA_OFFSET if sif else 0
    try:
        descriptor, made = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise RootlessError(f"cannot write {path}: {(error.strerror or '').lower()}") from error
    os.close(descriptor)
    try:
        options = ["-comp", compression, *(["-offset", str(offset)] if offset else [])]
        _make_squashfs(snapshot, made, options, moved)
        if sif:
            _complete_sif(sif, made)
        mask = os.umask(0o022)
        os.umask(mask)
        os.chmod(made, 0o777 & ~mask if sif else 0o666 & ~mask)
        fsync_file(made)
        os.rename(made, path)
        fsync_directory(path.parent)
    except OSError as error:
        raise RootlessError(f"cannot write {path}: {(error.strerror or '').lower()}") from error
    finally:
        if os.path.lexists(made):
            os.unlink(made)


def _make_squashfs(
    snapshot: Callable[[], Snapshot],
    path: str,
    options: Sequence[str],
    moved: Callable[[int], None] | None,
) -> None:
    program = which("mksquashfs")
    if program is None:
        raise HostSupportError(
            "mksquashfs is not installed", hint="install the package squashfs-tools, 4.5 or later"
        )
    argv = [program, "-", path, "-tar", "-noappend", "-no-progress", "-quiet", *options]
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=output, stderr=output) as process,
    ):
        pipe = process.stdin
        assert pipe is not None
        try:
            with closing(snapshot()) as files:
                for piece in files.tree_archive():
                    write_all(pipe.fileno(), piece)
                    if moved is not None:
                        moved(len(piece))
        except BrokenPipeError:
            pass  # what it says is read below
        except OSError as error:
            process.kill()
            name = os.fsdecode(error.filename or "a file")
            raise RootlessError(f"cannot read {name}: {(error.strerror or '').lower()}") from error
        except BaseException:
            process.kill()
            raise
        finally:
            pipe.close()
        status = process.wait()
        if status < 0:
            raise RootlessError(f"mksquashfs was ended by {signal.Signals(-status).name}")
        if status > 0:
            output.seek(0)
            raise _failed(output.read().decode(errors="replace"))


def _failed(output: str) -> RootlessError:
    lines = [line for line in output.splitlines() if line.strip()]
    if "-tar" in output and "invalid option" in output:
        return HostSupportError(
            "mksquashfs is too old to read an archive",
            hint="install the package squashfs-tools, 4.5 or later",
        )
    return RootlessError(f"mksquashfs failed: {lines[-1].strip() if lines else 'without a reason'}")


def _snapshot(store: Store, image: Image) -> Snapshot:
    """The image with its scripts on top, and the places to mount on below everything."""
    scripts = script_files(image.config)
    top = {path: regular(text.encode(), mode=mode) for path, (text, mode) in scripts.items()}
    layers = lower_layers(image_tree(store, image))
    return Snapshot([MemoryLayer(_tree(top)), *layers, _places_to_mount_on()], None)


def _files_of(source: str) -> Snapshot:
    """The files of a directory, or of an image file."""
    layers = (
        [DirectoryLayer(os.fsencode(source), ownership=Ownership.DATA, base_owner=(0, 0))]
        if os.path.isdir(source)
        else lower_layers(HostTree(source))
    )
    return Snapshot([*layers, _places_to_mount_on()], None)


def _places_to_mount_on() -> MemoryLayer:
    below = {path: directory() for path in DIRECTORIES}
    below |= {path: regular() for path in EMPTY_FILES}
    below["tmp"] = directory(mode=0o1777)
    below["var/tmp"] = directory(mode=0o1777)
    return MemoryLayer(_tree(below))


def _tree(nodes: dict[str, MemoryNode]) -> MemoryNode:
    """The root of a tree with nodes at paths."""
    root = directory()
    for path, node in sorted(nodes.items()):
        parent = root
        *above, name = path.encode().split(b"/")
        for part in above:
            parent = parent.children.setdefault(part, directory())
        known = parent.children.get(name)
        if known is not None and stat.S_ISDIR(known.mode):
            node.children.update(known.children)
        parent.children[name] = node
    return root


def _complete_sif(sif: _Sif, path: str) -> None:
    """Write the head before the squashfs, which is padded to whole pages."""
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END) - DATA_OFFSET
        made = int(os.fstat(file.fileno()).st_mtime)
        file.seek(0)
        file.write(sif_head(size, sif.architecture, sif.identity, made, "squashfs"))
