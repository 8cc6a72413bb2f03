"""Which signals `run` passes on, and what they do to the first process of a PID namespace."""

from __future__ import annotations

from rootless.light_stdlib import signal
from unionfs.light_types import Enum

_KEPT = frozenset(
    {
        signal.SIGKILL,  # cannot be caught
        signal.SIGSTOP,
        signal.SIGCHLD,  # about our own children
        signal.SIGPIPE,  # about our own output; the container gets its own
        signal.SIGTSTP,  # job control of our own shell: the container goes on
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGWINCH,  # becomes a size of the container's terminal
        signal.SIGSEGV,  # about our own mistakes
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGSYS,
        signal.SIGABRT,
        signal.SIGURG,
    }
)

FORWARDED = tuple(sorted(signal.valid_signals() - _KEPT))
"""Every other signal is passed on, as docker's --sig-proxy does."""

_ENDING = frozenset(
    {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
)


class Fate(Enum):
    """What a signal does to the first process of a PID namespace."""

    TAKEN = "taken"
    """It is caught or ignored, as the program wants."""
    DROPPED = "dropped"
    """It would have ended any other process; the kernel drops it for this one unless it is caught
    (pid_namespaces(7)).
    """
    WAITING = "waiting"
    """It is blocked: for a moment, or because the program fetches its signals itself (sigwait(3))."""


def fate_of(number: int, status: str) -> Fate:
    """The fate of signal `number`, sent to the process that the text of /proc/PID/status describes."""
    if number not in _ENDING:
        return Fate.TAKEN
    bit = 1 << (number - 1)
    masks = {"SigBlk": 0, "SigIgn": 0, "SigCgt": 0}
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name in masks:
            masks[name] = int(value, 16)
    if (masks["SigCgt"] | masks["SigIgn"]) & bit:
        return Fate.TAKEN
    return Fate.WAITING if masks["SigBlk"] & bit else Fate.DROPPED
