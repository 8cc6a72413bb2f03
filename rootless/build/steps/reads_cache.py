"""Finds a RUN by the files that it read: if none of them has changed, its layer is reused over another parent.

A step that gets the same arguments and sees the same files does the same, and its layer then holds the
same: what it took over from below it saw (`unionfs.traced.union`). What else a command may see is
neither recorded nor compared: the network, the time, times of files, random numbers, /proc and /sys,
and what cache mounts and secrets hold.
"""

from __future__ import annotations

from rootless.build.workspace import Workspace
from rootless.store.build_cache import BuiltLayer, CachedStep
from rootless.store.step_reads import StepReads, find_reads, save_reads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from unionfs.traced.trace import Record


class ReadsCache:
    """The records of one step, over a parent of these layers. `reads_key`: of what the step is given, without
    its parent."""

    def __init__(
        self, workspace: Workspace, reads_key: str, layers: tuple[BuiltLayer, ...]
    ) -> None:
        self._workspace = workspace
        self._reads_key = reads_key
        self._layers = layers
        self._trace: Sequence[Record] | None = None
        self.difference = ""
        """After `find`: why the latest result cannot be used, in words; empty if there is none."""

    def find(self, key: str) -> CachedStep | None:
        """An earlier result whose step saw nothing that is another over this parent. Its record becomes that
        of the step with this key. Raises OSError."""
        store = self._workspace.store
        candidates = find_reads(store, self._reads_key)
        if not candidates:
            return None
        snapshot = self._workspace.snapshot(self._layers)
        try:
            files = self._workspace.seen_files(snapshot, self._layers)
            for reads in candidates:
                difference = files.difference(reads.seen)
                if difference:
                    self.difference = self.difference or f"changed: {difference}"
                    continue
                step = self._workspace.find(reads.step)
                if step is not None:
                    self._save(reads._replace(step=key), instead_of=reads.step)
                    return step
        finally:
            snapshot.close()
        return None

    def note(self, trace: Sequence[Record] | None) -> None:
        """The step was executed, and saw this; None: that is not known."""
        self._trace = trace

    def save(self, key: str) -> None:
        """Record what the step with this key saw. Raises OSError if a layer cannot be read."""
        if self._trace is None:
            return
        snapshot = self._workspace.snapshot(self._layers)
        try:
            files = self._workspace.seen_files(snapshot, self._layers)
            seen = tuple(files.seen(self._trace))
        finally:
            snapshot.close()
        self._save(StepReads(key, seen))

    def _save(self, reads: StepReads, *, instead_of: str = "") -> None:
        try:
            save_reads(self._workspace.store, self._reads_key, reads, instead_of=instead_of)
        except OSError:
            pass  # on a full disk it is only not found again
