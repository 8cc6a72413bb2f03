"""Digests of the files that COPY and ADD copy: of names, modes, links, attributes and contents, but not of times.

Hashing every file anew would make a build without changes as slow as one with. The digest of each file
is therefore kept in the store with what stays the same as long as its content does (its number, size
and times of change), one file of digests for each context or tree of layers. A file that was changed
less than two seconds before it was hashed may change again within the same tick of a coarse clock, and
is not kept.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import stat
import time

from rootless.build.files.copying import CopyItem, not_found
from rootless.build.files.sources import Source, SourceEntry
from rootless.durable import write_atomically
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_FORMAT = 2
_DIGEST_SIZE = 32
_UNSETTLED_NS = 2 * 10**9


class ContentDigests:
    """The digests of the files of one source, kept in a file at `path`; None keeps nothing. Damage of
    that file costs time only."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._known: dict[bytes, bytes] | None = None
        """By path: the digest, and the packed identity of the file that had it."""
        self._is_changed = False

    def of_file(self, source: Source, entry: SourceEntry) -> bytes:
        """The SHA-256 of a regular file and its extended attributes. Raises OSError, RootlessError if it changes meanwhile."""
        if self._known is None:
            self._known = self._load()
        # Bytes, because a context may have a hundred thousand files; in version 2 equal values have equal bytes.
        identity = marshal.dumps(source.identity(entry), 2)
        known = self._known.get(entry.path)
        if known is not None and known[_DIGEST_SIZE:] == identity:
            return known[:_DIGEST_SIZE]
        started = time.time_ns()
        hashed, size = hashlib.sha256(), 0
        for piece in source.open(entry.path, entry.attributes.size):
            hashed.update(piece)
            size += len(piece)
        if size != entry.attributes.size:
            raise RootlessError(f"{os.fsdecode(entry.path)} changed while it was read")
        # A change of these changes the time of change too.
        for name, value in sorted(source.xattrs(entry.path).items()):
            hashed.update(b"\0%s\0%s" % (name, value))
        digest = hashed.digest()
        attributes = entry.attributes
        if max(attributes.mtime_ns, attributes.ctime_ns) < started - _UNSETTLED_NS:
            self._known[entry.path] = digest + identity
            self._is_changed = True
        return digest

    def save(self) -> None:
        """Write what was added to the store."""
        if self._path is None or not self._is_changed or self._known is None:
            return
        os.makedirs(os.path.dirname(self._path), 0o700, exist_ok=True)
        try:
            data = marshal.dumps((_FORMAT, self._known))
            write_atomically(self._path, data, 0o600, durable=False)
        except OSError:
            pass  # a full disk: the next build hashes again
        self._is_changed = False

    def _load(self) -> dict[bytes, bytes]:
        if self._path is None:
            return {}
        try:
            with open(self._path, "rb") as file:
                version, known = marshal.loads(file.read())
        except (OSError, ValueError, TypeError, EOFError):
            return {}
        return known if version == _FORMAT and isinstance(known, dict) else {}


def digest_of_items(items: Iterable[CopyItem], digests: Callable[[Source], ContentDigests]) -> str:
    """The digest of everything that a copy reads, as 64 hex digits. Raises OSError, BuildError."""
    hashed = hashlib.sha256()
    for item in items:
        entry = item.source.entry(item.path)
        if entry is None:
            raise not_found(item.path)
        known = digests(item.source)
        is_directory = stat.S_ISDIR(entry.attributes.mode)
        hashed.update(b"\0item\0%s\0%s\0" % (item.below, b"" if is_directory else item.name))
        hashed.update(_line(item.source, entry, b"", known))
        if is_directory:
            for name, each in item.below_top(entry):
                hashed.update(_line(item.source, each, name, known))
        known.save()
    return hashed.hexdigest()


def _line(source: Source, entry: SourceEntry, name: bytes, digests: ContentDigests) -> bytes:
    attributes = entry.attributes
    kind = stat.S_IFMT(attributes.mode)
    owner = b"%d:%d" % (attributes.uid, attributes.gid) if source.keeps_owners else b""
    if kind == stat.S_IFREG:
        content = digests.of_file(source, entry)
    elif kind == stat.S_IFLNK:
        content = source.readlink(entry.path)
    elif kind == stat.S_IFDIR:
        content = b""
    else:
        content = b"%d" % attributes.rdev
    return b"%s\0%o\0%s\0%s\0" % (name, attributes.mode, owner, content)
