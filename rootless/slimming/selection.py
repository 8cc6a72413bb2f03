"""Selects the files of an image for a slim image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rootless.errors import UsageError
from unionfs.changes.snapshot import Change, Snapshot

_ALWAYS = (
    b"dev", b"etc/group", b"etc/hosts", b"etc/passwd", b"etc/resolv.conf", b"proc", b"run", b"sys", b"tmp", b"var/tmp",
)  # fmt: skip
"""What engines mount on and read, as far as the image has it."""


def selected(
    snapshot: Snapshot,
    used: Iterable[bytes],
    included: Sequence[bytes] = (),
    excluded: Sequence[bytes] = (),
    *,
    volumes: Sequence[bytes] = (),
) -> list[Change]:
    """The files of an image that a slim one keeps, in the order of an archive, with the directories above them.

    Args:
        used: Relative paths, those without anything at them too. Of a directory itself alone is kept.
        included: Absolute paths that are kept with all below; symbolic links on the way are kept too.
        volumes: As `included`, as far as the image has them.
        excluded: Absolute paths that are left out with all below, whatever else says that they are kept.

    Raises UsageError for an included path without anything at it.
    """
    wanted, trees = {*used, *_ALWAYS}, []
    for path in (*included, *volumes):
        *links, place = _way(snapshot, path)
        if snapshot.find(place) is None:
            if path in volumes:
                continue
            raise UsageError(
                f"the image has no {path.decode(errors='backslashreplace')} to include"
            )
        wanted.update(links)
        trees.append(place)
    left_out = [path.strip(b"/") for path in excluded]
    everything = snapshot.tree()
    kept = {b""}
    for change in everything:
        path = change.path
        if (path in wanted or _is_within(path, trees)) and not _is_within(path, left_out):
            kept.update(_with_parents(path))
    return [change for change in everything if change.path in kept]


def _way(snapshot: Snapshot, path: bytes) -> list[bytes]:
    """The symbolic links by which an absolute path leads, and last the place itself; all relative."""
    links = []
    here = b""
    for name in filter(None, path.split(b"/")):
        step = here + b"/" + name if here else name
        resolved = snapshot.resolve(step)
        if resolved != step:
            links.append(step)
        here = resolved
    return [*links, here]


def _with_parents(path: bytes) -> Iterator[bytes]:
    while path:
        yield path
        path = path.rpartition(b"/")[0]


def _is_within(path: bytes, trees: Sequence[bytes]) -> bool:
    return any(not tree or path == tree or path.startswith(tree + b"/") for tree in trees)
