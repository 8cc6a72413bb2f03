"""Id maps between ids of the container and ids of the host (user_namespaces(7)). Pure.

A map is a sequence of ranges that overlap neither inside nor outside. The caller's own id is always
one of the outside ids: files on disk belong to the caller, and the caller may map itself without
help.
"""

from __future__ import annotations

import itertools

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any


class IdRange(NamedTuple):
    """`count` ids from `inside` on are those from `outside` on."""

    inside: int
    outside: int
    size: int


class Subordinate(NamedTuple):
    """A range the account was given in /etc/subuid or /etc/subgid."""

    start: int
    size: int


def validated(ranges: Iterable[IdRange]) -> tuple[IdRange, ...]:
    """The ranges in order of their inside id.

    Raises:
        ValueError: one is empty or negative, or two overlap on either side.
    """
    result = tuple(sorted(ranges))
    for item in result:
        if item.inside < 0 or item.outside < 0 or item.size < 1:
            raise ValueError(f"not a range of ids: {item}")
    for before, after in itertools.pairwise(result):
        if before.inside + before.size > after.inside:
            raise ValueError(f"ranges overlap inside: {before} {after}")
    by_outside = sorted(result, key=lambda item: item.outside)
    for before, after in itertools.pairwise(by_outside):
        if before.outside + before.size > after.outside:
            raise ValueError(f"ranges overlap outside: {before} {after}")
    return result


def to_outside(ranges: tuple[IdRange, ...], inside: int) -> int | None:
    """The host's id of a container's id; None where the map has none."""
    for item in ranges:
        if item.inside <= inside < item.inside + item.size:
            return item.outside + inside - item.inside
    return None


def to_inside(ranges: tuple[IdRange, ...], outside: int) -> int | None:
    """The container's id of a host's id; None where the map has none."""
    for item in ranges:
        if item.outside <= outside < item.outside + item.size:
            return item.inside + outside - item.outside
    return None


def composed(inner: tuple[IdRange, ...], outer: tuple[IdRange, ...]) -> tuple[IdRange, ...]:
    """The map from `inner`'s inside to `outer`'s outside; ids that `outer` does not map fall
    out."""
    pieces = []
    for a in inner:
        for b in outer:
            low = max(a.outside, b.inside)
            high = min(a.outside + a.size, b.inside + b.size)
            if low < high:
                pieces.append(
                    IdRange(a.inside + low - a.outside, b.outside + low - b.inside, high - low)
                )
    return validated(pieces)


def root_map(own: int, subordinate: Iterable[Subordinate]) -> tuple[IdRange, ...]:
    """The caller is 0 inside; 1 and up are the subordinate ids in their order."""
    ranges = [IdRange(0, own, 1)]
    inside = 1
    for start, count in subordinate:
        ranges.append(IdRange(inside, start, count))
        inside += count
    return validated(ranges)


def keep_map(own: int, inside: int, subordinate: Iterable[Subordinate]) -> tuple[IdRange, ...]:
    """The caller is `inside`; the subordinate ids fill 0 up to it and go on after it."""
    ranges = [IdRange(inside, own, 1)]
    at = 0
    for range_start, range_count in subordinate:
        start, count = range_start, range_count
        if at < inside:
            head = min(count, inside - at)
            ranges.append(IdRange(at, start, head))
            at, start, count = at + head, start + head, count - head
        if at == inside:
            at += 1
        if count:
            ranges.append(IdRange(at, start, count))
            at += count
    return validated(ranges)


class IdMaps(NamedTuple):
    """The maps of one user namespace. `helper`: newuidmap and newgidmap must write them. `kept`: the
    ids (uid, gid) that the caller keeps inside, where that was asked for."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]
    helper: bool
    kept: tuple[int, int] | None = None

    @property
    def single(self) -> bool:
        """Whether the namespace has one id: chown and the set*id family can then change nothing."""
        return len(self.uids) == 1 and self.uids[0].size == 1

    @property
    def root(self) -> tuple[int, int]:
        """The ids (uid, gid) inside that the set-up runs with: 0 where it is mapped, else the first."""
        uid = 0 if to_outside(self.uids, 0) is not None else self.uids[0].inside
        gid = 0 if to_outside(self.gids, 0) is not None else self.gids[0].inside
        return uid, gid

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """The ids inside of ids of the host; 0 for one that is not mapped."""
        return to_inside(self.uids, uid) or 0, to_inside(self.gids, gid) or 0

    def to_spec(self) -> dict[str, list[dict[str, int]]]:
        """`uidMappings` and `gidMappings`, members of the runtime spec's `linux`."""
        return {"uidMappings": _mappings(self.uids), "gidMappings": _mappings(self.gids)}

    @classmethod
    def from_spec(cls, linux: Mapping[str, Any]) -> IdMaps:
        """The maps that `to_spec` wrote; only a single id can be written without helpers.

        Raises:
            KeyError, TypeError, ValueError: `linux` is not of that form.
        """
        maps = cls(_ranges(linux["uidMappings"]), _ranges(linux["gidMappings"]), helper=False)
        return maps._replace(helper=not maps.single)


def _mappings(ranges: Sequence[IdRange]) -> list[dict[str, int]]:
    return [{"containerID": r.inside, "hostID": r.outside, "size": r.size} for r in ranges]


def _ranges(mappings: Iterable[Mapping[str, int]]) -> tuple[IdRange, ...]:
    return validated(IdRange(m["containerID"], m["hostID"], m["size"]) for m in mappings)


class UserNamespaceMode(NamedTuple):
    """The ids of the caller inside: root's, or with `keep` the given ones, by default its own. `single`: no other
    id exists inside, and the caller has the additional groups that it has outside.
    """

    keep: bool = False
    uid: int | None = None
    gid: int | None = None
    single: bool = False


def make_maps(
    mode: UserNamespaceMode,
    *,
    uid: int,
    gid: int,
    subuids: tuple[Subordinate, ...],
    subgids: tuple[Subordinate, ...],
) -> IdMaps:
    """The maps for an account. With no range on either side it is the single id."""
    if mode.single or not subuids or not subgids:
        subuids = subgids = ()
    kept = None
    if mode.keep:
        inside_uid = uid if mode.uid is None else mode.uid
        inside_gid = gid if mode.gid is None else mode.gid
        uids, gids = keep_map(uid, inside_uid, subuids), keep_map(gid, inside_gid, subgids)
        kept = inside_uid, inside_gid
    else:
        uids, gids = root_map(uid, subuids), root_map(gid, subgids)
    return IdMaps(uids, gids, helper=bool(subuids), kept=kept)
