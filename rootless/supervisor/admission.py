"""Lets a few commands of a user start their containers at a time: of many that are executed at once the others wait, before
they load what they need. They would hold the memory of as many starts, and take the processors from one another
(docs/decisions/1871).

A command that starts a container has a *slot*, of which there are some for each processor that it may use: a byte of a file
that it has locked (fcntl(2)). The kernel gives the slot back when the process ends.
"""

from __future__ import annotations

import os

from rootless.light_stdlib import signal
from rootless.paths import runtime_root
from rootless.supervisor import turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

_EACH = 2
"""Slots of a processor. A start uses one and a half."""
_PATIENCE = 5.0
"""Seconds after which a command starts without a slot: those that have one may have been stopped."""
_TURN = 0.25
"""Seconds for which it waits for one slot, before it waits for the next one."""


def enter(arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """Wait for a slot. Without one where there can be none, or none is given back for too long. A command line with an option
    that looks like `run -d` needs none: its process ends when the container runs.
    """
    if any(map(_detaches, arguments)):
        return
    try:
        slot = _open(runtime_root(environ, os.getuid()))
    except OSError:
        return  # the start tells what is wrong with the directory
    try:
        # A process that is bound to some processors competes for these.
        numbers = [
            _EACH * processor + each
            for processor in os.sched_getaffinity(0)
            for each in range(_EACH)
        ]
        # The caller may have closed a standard stream, whose number is not for another file.
        if slot > 2 and (any(_locks(slot, each) for each in numbers) or _waits(slot, numbers)):
            turn.slot = slot
            return
    except OSError:
        pass  # a file system without locks
    os.close(slot)


def _detaches(word: str) -> bool:
    return word.startswith("--detach") or (word[:1] == "-" != word[1:2] and "d" in word)


def _open(directory: str) -> int:
    """The file of all slots. Raises OSError."""
    path, flags = f"{directory}/starts", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            pass  # another start was first
        return os.open(path, flags, 0o600)


def _locks(slot: int, number: int) -> bool:
    os.lseek(slot, number, os.SEEK_SET)
    try:
        os.lockf(slot, os.F_TLOCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    return True


class _TurnError(Exception):
    """The time for one slot has gone by."""


def _waits(slot: int, numbers: list[int]) -> bool:
    """Wait for one of the slots. Returns whether it was given."""
    turn.has_waited = True

    def end_turn(*_: object) -> NoReturn:
        raise _TurnError

    before = signal.signal(signal.SIGALRM, end_turn)
    try:
        for attempt in range(int(_PATIENCE / _TURN)):
            os.lseek(slot, numbers[(os.getpid() + attempt) % len(numbers)], os.SEEK_SET)
            try:
                signal.setitimer(signal.ITIMER_REAL, _TURN, _TURN)
                os.lockf(slot, os.F_LOCK, 1)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except _TurnError:
                continue
            return True
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
