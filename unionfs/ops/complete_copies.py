"""Completes every lazy copy of an upper, file by file, so that a session can serve meanwhile."""

from __future__ import annotations

import os

from unionfs import filesystem
from unionfs.ops import lazy_copyup
from unionfs.ops.transfers import Transfer
from unionfs.ops.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from unionfs.layer import LayerEntry
    from unionfs.lazy.file import LazyFile


class CopyCompletion:
    """`next`, `Transfer.run` in any thread, `done`; until there is no next. Then the upper can do
    without the lowers, unless `failed`."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._waiting: list[LayerEntry] = []
        self._tried: set[int] = set()
        self._file: LazyFile | None = None
        self.copied = 0
        """Bytes."""
        self.failed: OSError | None = None
        """The first of what went wrong; the other files are complete then."""

    def next(self) -> Transfer | None:
        upper = self._tree.upper
        if upper is None or upper.required_lowers() is None:
            return None
        while True:
            if not self._waiting:
                self._waiting = [each for each in upper.incomplete_files() if self._is_new(each)]
                if not self._waiting:
                    break
            entry = self._waiting.pop()
            self._tried.add(entry.attributes.ino)
            try:
                self._file = self._open(entry)
            except OSError as raised:
                self.failed = self.failed or raised
                continue
            if self._file is not None:
                return Transfer(self._work(self._file))
        if self.failed is None:
            self._tree.lazy_copies.forget_all(upper)
        return None

    def done(self, transfer: filesystem.Transfer, raised: BaseException | None) -> None:
        """After each `Transfer.run`, by the thread that calls `next`."""
        self.copied += transfer.done
        if self._file is not None:
            self._file.close()
            self._file = None
        if isinstance(raised, OSError):
            self.failed = self.failed or raised
        elif raised is not None:
            raise raised

    def _is_new(self, entry: LayerEntry) -> bool:
        """Those with an unreadable mark, and those that failed, would come again and again."""
        return entry.attributes.ino not in self._tried

    def _open(self, entry: LayerEntry) -> LazyFile | None:
        """None if the mark cannot be read, or another file has taken the place."""
        tree = self._tree
        state = tree.lazy_copies.of_entry(entry)
        if state is None:
            return None
        try:
            fd = tree.layers.writable().open_write(entry.ref)
        except FileNotFoundError:
            self._tried.discard(entry.attributes.ino)
            return None
        if os.fstat(fd).st_ino != entry.attributes.ino:
            os.close(fd)
            self._tried.discard(entry.attributes.ino)
            return None
        return lazy_copyup.open_again(tree, fd, state)

    def _work(self, file: LazyFile) -> Callable[[], int]:
        return lambda: lazy_copyup.complete(self._tree, file)
