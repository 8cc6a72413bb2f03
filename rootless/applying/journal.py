"""The journal of one apply: its plan and the steps that are done, so that an interrupted apply can be resumed or
undone.

The first line has the steps; it is written before the first of them. Each further line tells of one step: what was
there before it began, what is there since it is done, why it failed, that it was undone. Lines about steps are written
together, by `flush`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from rootless.applying.step import (
    Attributes,
    Fingerprint,
    Restored,
    Step,
    attributes_in,
    fingerprint_in,
    from_plain,
    to_plain,
)
from rootless.durable import write_all, write_atomically
from rootless.errors import InvalidDocumentError

_FORMAT = 1


class Before(NamedTuple):
    """The state of a step's path before the step: nothing, or an object, of which a regular file has a copy or a
    further name among the backups if the step replaces or removes it.
    """

    fingerprint: Fingerprint | None = None
    attributes: Attributes | None = None
    has_backup: bool = False


class Journal:
    """The journal at a path. Raises OSError, and InvalidDocumentError for what cannot be read."""

    def __init__(self, path: str, steps: Sequence[Step]) -> None:
        self._path = path
        self.steps = list(steps)
        self.before: dict[int, Before] = {}
        self.after: dict[int, Fingerprint | None] = {}
        """By the number of each step that is done."""
        self.failed: dict[int, str] = {}
        self.undone: set[int] = set()
        self.is_complete = False
        self.is_undoing = False
        self.is_undone = False
        self.restored: list[Restored] = []
        """Of an apply that was undone, and of steps that failed."""
        self._fd = -1
        self._pending: list[dict[str, Any]] = []

    @classmethod
    def create(cls, path: str, steps: Sequence[Step]) -> Journal:
        """Write the plan."""
        # By the step, because all of them as dictionaries take ten times the room.
        listed = b", ".join(json.dumps(to_plain(step)).encode() for step in steps)
        plan = b'{"format": %d, "steps": [%b]}\n' % (_FORMAT, listed)
        write_atomically(path, plan, 0o600)
        return cls(path, steps)

    @classmethod
    def read(cls, path: str) -> Journal:
        """The journal as far as it was written."""
        try:
            with open(path, "rb") as file:
                lines = file.read().split(b"\n")
            journal = cls(path, [from_plain(each) for each in json.loads(lines[0])["steps"]])
            # A line that was cut short is that of a process that was killed.
            for line in lines[1:-1]:
                journal._take(json.loads(line))
            for number in (*journal.before, *journal.after, *journal.failed):
                journal.steps[number]
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise InvalidDocumentError(f"{path} cannot be read: {error}") from error
        return journal

    def close(self) -> None:
        """Write what is pending, unless the disk is full: without it the next run looks at what those steps have made."""
        try:
            self.flush()
        except OSError:
            pass
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def begin(self, number: int, before: Before) -> None:
        """To be flushed before the step changes anything."""
        self.before[number] = before
        self._pending.append(
            {
                "begin": number,
                "fingerprint": before.fingerprint,
                "attributes": before.attributes,
                "backup": before.has_backup,
            }
        )

    def done(self, number: int, after: Fingerprint | None) -> None:
        self.after[number] = after
        self._pending.append({"done": number, "fingerprint": after})

    def fail(self, number: int, reason: str, restored: Restored | None = None) -> None:
        """`restored`: what is there as it was, if the step had begun."""
        found = [] if restored is None else [restored]
        self.failed[number] = reason
        self.restored += found
        self._pending.append({"failed": number, "reason": reason, "restored": found})

    def complete(self) -> None:
        self._pending.append({"complete": True})
        self.flush()
        self.is_complete = True

    def begin_undo(self) -> None:
        self._pending.append({"undo": True})
        self.flush()
        self.is_undoing = True

    def undo(self, number: int) -> None:
        self._pending.append({"undone": number})
        self.flush()
        self.undone.add(number)

    def complete_undo(self, restored: Sequence[Restored]) -> None:
        self._pending.append({"undone": "all", "restored": restored})
        self.flush()
        self.restored += restored
        self.is_undone = True

    def flush(self) -> None:
        """Write the lines that are pending: all of them or, as far as a full disk is the reason, none."""
        if not self._pending:
            return
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            self._end_line()
        end = os.fstat(self._fd).st_size
        try:
            write_all(
                self._fd, b"".join(json.dumps(line).encode() + b"\n" for line in self._pending)
            )
        except OSError:
            os.ftruncate(self._fd, end)
            raise
        self._pending.clear()

    def _end_line(self) -> None:
        """Cut off what a process that was killed had not finished."""
        with open(self._path, "rb") as file:
            data = file.read()
        if not data.endswith(b"\n"):
            os.ftruncate(self._fd, data.rfind(b"\n") + 1)

    def _take(self, line: dict[str, Any]) -> None:
        fingerprint = fingerprint_in(line.get("fingerprint"))
        if "begin" in line:
            attributes = attributes_in(line["attributes"])
            self.before[line["begin"]] = Before(fingerprint, attributes, line["backup"])
        elif "done" in line:
            self.after[line["done"]] = fingerprint
        elif "failed" in line:
            self.failed[line["failed"]] = line["reason"]
            self._take_restored(line)
        elif "complete" in line:
            self.is_complete = True
        elif "undo" in line:
            self.is_undoing = True
        elif line["undone"] == "all":
            self.is_undone = True
            self._take_restored(line)
        else:
            self.undone.add(line["undone"])

    def _take_restored(self, line: dict[str, Any]) -> None:
        for now, before in line.get("restored", ()):
            self.restored.append(Restored(Fingerprint(*now), Fingerprint(*before)))
