"""The outputs of a build other than an image in the store: files in a directory or an archive, or an image in an
archive.
"""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path

from rootless.build.errors import BuildError
from rootless.build.files.sources import LayerSource, Source, walk
from rootless.durable import write_all
from unionfs.layer import Layer, LayerEntry, Mark
from unionfs.light_types import Enum, NamedTuple
from unionfs.model import Attributes
from unionfs.nodes import Directory
from unionfs.tar.writer import ArchiveMember, TarEntry, archive, contents, whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rootless.oci.platform import Platform
    from unionfs.changes.snapshot import Snapshot


class OutputKind(Enum):
    """The types of --output."""

    IMAGE = "image"
    """In the store; with `push` also at its registry."""
    LOCAL = "local"
    TAR = "tar"
    DOCKER = "docker"
    OCI = "oci"


class Output(NamedTuple):
    """One --output. `destination` is a path of the host, or a descriptor; None for an image of the store.
    `is_directory`: an OCI layout as a directory and not as an archive. `rewrites_times`: no time in the new layers
    of an image is later than SOURCE_DATE_EPOCH."""

    kind: OutputKind = OutputKind.IMAGE
    destination: Path | int | None = None
    names: tuple[str, ...] = ()
    push: bool = False
    is_directory: bool = False
    rewrites_times: bool = False
    splits_platforms: bool | None = None
    """One directory for each platform; None: only if there are several."""


class PlatformTree(NamedTuple):
    """The files of an image for one platform."""

    platform: Platform
    tree: Snapshot
    provenance: bytes | None = None
    """A statement about the files, written beside them."""
    time_ns: int = 0
    """The time of the statement."""

    @property
    def directory(self) -> str:
        """As BuildKit names it: linux_arm_v7."""
        return str(self.platform).replace("/", "_")


def write_files(trees: Sequence[PlatformTree], output: Output) -> None:
    """The files of each platform, as an archive with their owners, or in a directory as the caller's own. Raises
    BuildError."""
    destination = output.destination
    assert destination is not None  # the command line has looked
    is_split = len(trees) > 1 if output.splits_platforms is None else output.splits_platforms
    is_merged = len(trees) > 1 and not is_split
    if is_merged:
        _refuse_overwriting(trees)
    try:
        if output.kind is OutputKind.TAR:
            if isinstance(destination, int):
                _write_pieces(archive(_members(trees, is_split=is_split)), destination)
            else:
                from rootless.images.formats.outgoing import new_file

                new_file(
                    destination,
                    lambda to: _write_pieces(archive(_members(trees, is_split=is_split)), to),
                    0o644,
                )
        elif isinstance(destination, Path):
            for each in trees:
                below = destination / each.directory if is_split else destination
                copy_to_host(LayerSource(each.tree), b"", below)
                if each.provenance is not None:
                    _write_statement(each.provenance, below / _statement_name(each, is_merged))
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        raise BuildError(f"failed to write the output: {error.strerror}{where}") from error


def _refuse_overwriting(trees: Sequence[PlatformTree]) -> None:
    """Raises BuildError if a file is in the trees of two platforms."""
    found: dict[bytes, Platform] = {}
    for each in trees:
        for entry in walk(LayerSource(each.tree), b""):
            if stat.S_ISDIR(entry.attributes.mode):
                continue
            first = found.setdefault(entry.path, each.platform)
            if first is not each.platform:
                raise BuildError(
                    f"cannot overwrite {os.fsdecode(entry.path)} from {first} with {each.platform} "
                    "when split option is disabled"
                )


def _members(
    trees: Sequence[PlatformTree], *, is_split: bool
) -> Iterator[tuple[TarEntry, Iterable[bytes]]]:
    for each in trees:
        above = os.fsencode(each.directory) if is_split else b""
        for entry, data in each.tree.tree_members():
            linked = entry.hard_link
            yield (
                entry._replace(
                    path=_below(above, entry.path),
                    hard_link=None if linked is None else _below(above, linked),
                ),
                data,
            )

        if each.provenance is not None:
            name = os.fsencode(_statement_name(each, len(trees) > 1 and not is_split))
            size, time = len(each.provenance), each.time_ns
            mode = stat.S_IFREG | 0o600
            attributes = Attributes(0, mode, 1, 0, 0, 0, size, 0, time, time, time)
            yield TarEntry(_below(above, name), attributes), (each.provenance,)


def _statement_name(tree: PlatformTree, is_merged: bool) -> str:
    return f"provenance.{tree.directory}.json" if is_merged else "provenance.json"


def _write_statement(statement: bytes, path: Path) -> None:
    from rootless.images.formats.outgoing import new_file

    new_file(path, lambda to: write_all(to, statement), 0o600)


def _below(directory: bytes, path: bytes) -> bytes:
    return b"/".join(part for part in (directory, path) if part)


def squashed(layers: Sequence[Layer], below: Snapshot, above: Snapshot) -> Iterator[ArchiveMember]:
    """The archive of one layer in the place of several: `below` is the tree under them, `above` the one with
    them."""
    paths: set[bytes] = set()
    for layer in layers:
        _collect(layer, layer.root(), b"", paths)
    return _squashed_members(paths, below, above)


def _collect(layer: Layer, directory: LayerEntry, path: bytes, paths: set[bytes]) -> None:
    for name, entry in layer.listing(directory.ref):
        here = path + b"/" + name if path else name
        paths.add(here)
        if entry.mark is not Mark.WHITEOUT and stat.S_ISDIR(entry.attributes.mode):
            _collect(layer, entry, here, paths)


def _squashed_members(
    paths: set[bytes], below: Snapshot, above: Snapshot
) -> Iterator[tuple[TarEntry, Iterable[bytes]]]:
    links: dict[int, bytes] = {}
    for path in sorted(paths, key=lambda path: path.split(b"/")):
        node = above.find(path)
        if node is None:
            parent = above.find(path.rpartition(b"/")[0])
            if below.find(path) is not None and isinstance(parent, Directory):
                yield whiteout(path), ()
            continue
        attributes = node.attributes
        is_directory = isinstance(node, Directory)
        first = path if is_directory else links.setdefault(attributes.ino, path)
        if first != path:
            yield TarEntry(path, attributes, hard_link=first), ()
            continue
        target = above.readlink(node) if stat.S_ISLNK(attributes.mode) else b""
        entry = TarEntry(path, attributes, target, None, above.xattrs(node))
        is_regular = stat.S_ISREG(attributes.mode)
        yield entry, contents(partial(above.open_file, node), attributes.size) if is_regular else ()
        if is_directory:
            # What an opaque directory of one of the layers hides.
            kept = {name for name, _ in above.children(path)}
            for name, _ in sorted(below.children(path)):
                if name not in kept and path + b"/" + name not in paths:
                    yield whiteout(path + b"/" + name), ()


def _write_pieces(pieces: Iterable[bytes], descriptor: int) -> None:
    for piece in pieces:
        write_all(descriptor, piece)


def copy_to_host(source: Source, path: bytes, directory: Path) -> None:
    """Write the files below a directory of a source to one of the host, as files of this account. Existing
    files stay, unless they have the name of a new one. Devices and pipes are left out. Raises OSError.
    """
    os.makedirs(directory, exist_ok=True)
    top = os.fsencode(directory)
    skip = len(path) + 1 if path else 0
    times: list[tuple[bytes, int, int]] = []
    for entry in walk(source, path):
        target = top + b"/" + entry.path[skip:]
        attributes = entry.attributes
        mode = attributes.mode
        if stat.S_ISDIR(mode):
            _make_directory(target)
            times.append((target, stat.S_IMODE(mode) & 0o777, attributes.mtime_ns))
        elif stat.S_ISLNK(mode):
            _remove_file(target)
            os.symlink(source.readlink(entry.path), target)
        elif stat.S_ISREG(mode):
            _remove_file(target)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(target, flags, 0o600)
            try:
                for piece in source.open(entry.path, attributes.size):
                    write_all(descriptor, piece)
                os.fchmod(descriptor, stat.S_IMODE(mode) & 0o777)
                os.utime(descriptor, ns=(attributes.mtime_ns, attributes.mtime_ns))
            finally:
                os.close(descriptor)
    for target, mode, mtime in reversed(times):
        os.utime(target, ns=(mtime, mtime))
        os.chmod(target, mode)


def _make_directory(path: bytes) -> None:
    """A directory, in the place of a link that would lead elsewhere."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if os.path.islink(path):
            os.unlink(path)
            os.mkdir(path, 0o700)


def _remove_file(path: bytes) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
