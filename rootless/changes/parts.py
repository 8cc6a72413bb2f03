"""The parts of a container's files that have changes of their own: its root, and each mount that is copied on write.
Paths of a part are relative to it, those of the container to its root."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rootless.changes.change import Change, is_within
from rootless.containers.config import read_spec
from rootless.containers.writable_layers.cow_mounts import CowMount, cow_mounts
from rootless.errors import UsageError

if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord


class Part(NamedTuple):
    """`path` is where it is in the container, empty for the root. `mountpoints`: absolute paths in it. `mount` is None
    for the root."""

    path: bytes
    mountpoints: list[bytes]
    mount: CowMount | None = None

    def whole(self, path: bytes) -> bytes:
        """The path in the container of one in the part."""
        return path if not self.path else self.path + b"/" + path if path else self.path

    def whole_change(self, change: Change) -> Change:
        """The change with paths in the container."""
        if not self.path:
            return change
        source = None if change.source is None else self.whole(change.source)
        link = None if change.link is None else self.whole(change.link)
        return change._replace(path=self.whole(change.path), source=source, link=link)

    def inner(self, path: bytes) -> bytes:
        """The path in the part of one in the container; empty, for all of it, for one above."""
        return path[len(self.path) :].strip(b"/")


def parts_of(directory: Path) -> list[Part]:
    """The root first, then the mounts in the order of the configuration."""
    spec = read_spec(directory)
    targets = [os.fsencode(each["destination"]) for each in spec.get("mounts", ())]
    parts = [Part(b"", targets)]
    for mount in cow_mounts(spec):
        path = os.fsencode(os.path.normpath(mount.target)).strip(b"/")
        within = [each[len(path) + 1 :] for each in targets if each.startswith(b"/%b/" % path)]
        parts.append(Part(path, within, mount))
    return parts


def wanted_of(part: Part, parts: Sequence[Part], wanted: Sequence[bytes]) -> list[bytes] | None:
    """The paths in the container that lie in a part, as paths in it: an empty path for one above. None if all lie
    elsewhere; an empty list if there are none, which stands for everything.
    """
    found = [
        part.inner(path)
        for path in wanted
        if is_within(part.path, path) or part_at(parts, path) is part
    ]
    return found if found or not wanted else None


def part_at(parts: Sequence[Part], path: bytes) -> Part:
    """The part that a path in the container lies in."""
    return max(
        (each for each in parts if is_within(path, each.path)), key=lambda each: len(each.path)
    )


def paths_in(
    record: ContainerRecord, directory: Path, paths: Sequence[str], current: str
) -> list[bytes]:
    """Paths as a user gives them, relative to the root of the container with this directory.

    They are paths in the container; one that is in no mount which is copied on write, and in the directory of the host
    that such a mount is made of, stands for that. A relative path is one of the host, in `current`, if the root of the
    container is the host's or `current` is in the directory of such a mount; else it begins at the root.

    Raises UsageError for an empty one.
    """
    if "" in paths:
        raise UsageError("a path cannot be empty")
    if not paths:
        return []
    parts = parts_of(directory)
    is_host = record.rootfs == "/"
    found = []
    for path in paths:
        whole = os.path.normpath(os.path.join(current, path))
        translated = None if is_host else _in_mount(parts, whole)
        if translated is None or (os.path.isabs(path) and part_at(parts, _relative(whole)).path):
            whole = whole if is_host else os.path.normpath(os.path.join("/", path))
            found.append(_relative(whole))
        else:
            found.append(translated)
    return found


def _relative(path: str) -> bytes:
    return os.fsencode(path).strip(b"/")


def _in_mount(parts: Sequence[Part], path: str) -> bytes | None:
    """Where a path of the host is in the container, by the mounts; None if it is in none."""
    for part in parts:
        if part.mount is None or part.mount.is_volume:
            continue
        for source in (part.mount.source, os.path.realpath(part.mount.source)):
            if is_within(_relative(path), _relative(source)):
                return part.whole(_relative(path)[len(_relative(source)) :].strip(b"/"))
    return None
