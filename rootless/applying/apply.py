"""Applies the changes of a container to the host's files that it was made of or has mounted, and undoes that."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rootless.applying.plan import Left, Plan
from rootless.applying.target import Choice, Target, errors_of
from rootless.changes.change import Change
from rootless.changes.parts import Part, part_at, parts_of, paths_in, wanted_of
from rootless.changes.selection import require_matches
from rootless.durable import acquire_lock
from rootless.errors import InUseError, NotFoundError, UsageError
from rootless.rootfs.read import reading, written_out
from rootless.spec.storage_driver import StorageDriver

if TYPE_CHECKING:
    from rootless.applying.journal import Journal
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.store.layout import Store

_LOCK = ".apply.lock"


class Applied(NamedTuple):
    """The changes that were applied, or would be, and those that were left alone. Paths are relative to the root of
    the container."""

    paths: list[bytes]
    left: list[Left]


class _Planned(NamedTuple):
    """The plan for a target, and the texts that were merged with marks."""

    target: Target
    plan: Plan
    marked: list[Left]


class Applying:
    """Applies the changes of one container: of its root file system, if that was made of a directory of the host, and of
    the directories of the host that it has mounted copied on write.

    Raises UsageError for a container that has neither.
    """

    def __init__(self, record: ContainerRecord, paths: StoragePaths, store: Store) -> None:
        self._record = record
        self._directory = Path(paths.containers.directory(record.id))
        self._parts = parts_of(self._directory)
        mounted = [each for each in self._parts[1:] if each.mount and not each.mount.is_volume]
        self._refused = _refusal(record)
        if self._refused is not None and not mounted:
            raise self._refused
        applied = mounted if self._refused else [self._parts[0], *mounted]
        self._targets = [Target(record, paths, store, part) for part in applied]

    def paths_in(self, paths: Sequence[str], current: str) -> list[bytes]:
        """Paths as a user gives them: see `rootless.changes.parts.paths_in`."""
        return paths_in(self._record, self._directory, paths, current)

    def apply(
        self,
        wanted: Sequence[bytes] = (),
        *,
        chosen: Callable[[Change], bool] | None = None,
        overrules: bool = False,
        merges: bool = False,
        check: bool = False,
    ) -> Applied:
        """Make the changes on the host, after the rest of an apply that was killed.

        Args:
            wanted: Paths in the container that a change has to be at or in; empty for all. Directories above that the
                container made are made too.
            chosen: Which of these changes to apply.
            overrules: Whether a conflict is decided for the container.
            merges: Whether a text that both sides have changed is merged; one with lines that both have changed
                gets marks, and is among those left.
            check: Change nothing.

        Raises:
            InUseError: another apply is running.
            NotFoundError: nothing was changed at or in one of `wanted`; then nothing is applied.
            UsageError: one of `wanted` is not a copy of files of the host; then nothing is applied.
            RootlessError: the container's files or the journal cannot be read or written.
        """
        self._require_targets(wanted)
        with self._locked():
            resumed = [] if check else [each for one in self._targets for each in _resumed(one)]
            with written_out(self._record, pause=True), reading(self._record):
                plans = self._plans(Choice(wanted, chosen, overrules, merges))
                failures = {} if check else self._carry_out(plans)
        done: dict[bytes, None] = {}
        left: dict[bytes, Left] = {}
        for target, plan, marked in plans:
            failed = [*plan.left, *marked, *failures.get(target, ())]
            not_done = {each.path for each in failed}
            for step in plan.steps:
                if step.change not in not_done:
                    done[target.part.whole(step.change)] = None
            left |= {each.path: each for each in _whole_left(target.part, failed)}
        left |= {each.path: each for each in resumed if each.path not in done}
        return Applied(list(done), list(left.values()))

    def _plans(self, choice: Choice) -> list[_Planned]:
        """What is to be done in each target of which something was chosen, by paths in the container. Raises NotFoundError."""
        found = {target: target.read() for target in self._targets}
        changes = [
            target.part.whole_change(each)
            for target in self._targets
            for each in found[target].changes
        ]
        require_matches(changes, choice.wanted)
        plans = []
        for target in self._targets:
            inner = wanted_of(target.part, self._parts, choice.wanted)
            if inner is not None:
                chosen = _whole(target.part, choice.chosen)
                own = choice._replace(wanted=inner, chosen=chosen)
                plans.append(_Planned(target, *target.plan(found[target], own)))
        return plans

    def _carry_out(self, plans: Sequence[_Planned]) -> dict[Target, list[Left]]:
        """Make the changes. Returns what failed. All journals are there before the first change, so that an apply which
        is killed is resumed, and undone, as a whole."""
        number = max(target.next_number() for target in self._targets)
        journals = {target: target.begin(number, plan) for target, plan, _ in plans if plan.steps}
        return {target: target.run(journal, number) for target, journal in journals.items()}

    def undo(self) -> list[Left]:
        """Take the last apply back. Returns what has changed since, and then nothing is done.

        Raises:
            NotFoundError: nothing has been applied.
            InUseError, RootlessError: as `apply`.
        """
        with self._locked():
            numbers = {number for target in self._targets for number in target.numbers()}
            for number in sorted(numbers, reverse=True):
                found = [
                    (target, journal)
                    for target in self._targets
                    if number in target.numbers()
                    and not (journal := target.journal(number)).is_undone
                ]
                if found:
                    return _undo(found, number)
        raise NotFoundError(f"nothing of container {self._record.name} has been applied")

    def _require_targets(self, wanted: Sequence[bytes]) -> None:
        """Raises UsageError for a path that is not a copy of files of the host."""
        applied = [target.part for target in self._targets]
        for path in wanted:
            part = part_at(self._parts, path)
            if part in applied or any(wanted_of(each, self._parts, [path]) for each in applied):
                continue
            if part.mount is None and self._refused is not None:
                raise self._refused
            raise UsageError(
                f"{os.fsdecode(b'/' + path)} is in a volume, not in files of the host",
                hint=f"rootless cp {self._record.name}:PATH copies files out of it",
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """With the targets open."""
        lock = acquire_lock(self._directory / _LOCK, wait=False)
        if lock is None:
            raise InUseError(f"another apply of container {self._record.name} is running")
        try:
            with ExitStack() as stack:
                for target in self._targets:
                    stack.enter_context(target)
                yield
        finally:
            lock.release()


def _refusal(record: ContainerRecord) -> UsageError | None:
    """Why the changes of the root file system cannot be applied."""
    if not record.rootfs or not os.path.isdir(record.rootfs):
        return UsageError(
            f"container {record.name} was not made of files of the host",
            hint="rootless commit makes an image of it, rootless cp copies files out of it",
        )
    if record.storage_driver == StorageDriver.OVERLAY.value:
        return UsageError(
            f"container {record.name} has the storage driver overlay, which keeps no note of "
            "what it saw of the host's files",
            hint="create it with --storage-driver unionfs",
        )
    return None


def _resumed(target: Target) -> list[Left]:
    return _whole_left(target.part, target.resume())


def _undo(found: Sequence[tuple[Target, Journal]], number: int) -> list[Left]:
    with ExitStack() as stack:
        for _, journal in found:
            stack.enter_context(closing(journal))
        undoings = [(target, target.undoing(journal, number)) for target, journal in found]
        changed = [
            each
            for target, undoing in undoings
            for each in _whole_left(target.part, undoing.changed())
        ]
        if changed:
            return changed
        for target, undoing in undoings:
            with errors_of("undo"):
                undoing.run()
            target.drop_backups(number)
    return []


def _whole(part: Part, chosen: Callable[[Change], bool] | None) -> Callable[[Change], bool] | None:
    """The question about a change of a part, with its paths in the container."""
    return None if chosen is None else lambda change: chosen(part.whole_change(change))


def _whole_left(part: Part, left: Sequence[Left]) -> list[Left]:
    return [each._replace(path=part.whole(each.path)) for each in left]
