"""The signals that `run` forwards, and their effect on the first process of a PID namespace."""

from __future__ import annotations

import os

from rootless.light_stdlib import signal
from unionfs.light_types import Enum

FAULTS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
"""The kernel sends them to an instruction that failed. They are passed on without a handler
(fault_signals.py)."""

_NOT_FORWARDED = FAULTS | {
    signal.SIGKILL,  # cannot be caught
    signal.SIGSTOP,
    signal.SIGCHLD,  # about the children of `run`
    signal.SIGPIPE,  # about its output; the container gets its own
    signal.SIGTSTP,  # job control of the shell that started `run`: the container goes on
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGURG,
}

FORWARDED = tuple(sorted(signal.valid_signals() - _NOT_FORWARDED))
"""The signals that are passed on by a handler, as docker's --sig-proxy does. SIGWINCH only without a
terminal of the container's own, which is resized instead."""

_NOT_FATAL = frozenset({signal.SIGCONT, signal.SIGWINCH})
"""Of FORWARDED, those whose default action does not end a process (signal(7))."""


class SignalEffect(Enum):
    """The effect of a signal on the first process of a PID namespace."""

    TAKEN = "taken"
    """It is caught, ignored or fetched with sigwait(3), as the program wants."""
    DROPPED = "dropped"
    """It would have ended any other process; the kernel drops it for this one unless it is caught
    (pid_namespaces(7)).
    """
    BLOCKED = "blocked"
    """It is blocked: for a moment, or because the program takes its signals from a signalfd(2)."""


_SIGTIMEDWAIT = {"x86_64": "128", "ppc64le": "176", "s390x": "177"}
"""The number of rt_sigtimedwait(2); 137 in include/uapi/asm-generic/unistd.h."""


def effect_of(number: int, status: str, syscall: str = "") -> SignalEffect:
    """The effect of signal `number` on a process; TAKEN if there is no such process any more.

    Args:
        status: /proc/PID/status.
        syscall: /proc/PID/syscall. During sigwait(3) the kernel shows the awaited signals as unblocked,
            though it does not drop them (do_sigtimedwait), so only the system call tells of them.
    """
    from rootless.containers.process_identity import is_in_mask  # not needed to forward signals

    if number in _NOT_FATAL or not status:
        return SignalEffect.TAKEN
    if is_in_mask(number, "SigCgt", status) or is_in_mask(number, "SigIgn", status):
        return SignalEffect.TAKEN
    if is_in_mask(number, "SigBlk", status):
        return SignalEffect.BLOCKED
    is_awaited = syscall.partition(" ")[0] == _SIGTIMEDWAIT.get(os.uname().machine, "137")
    return SignalEffect.TAKEN if is_awaited else SignalEffect.DROPPED


def handled_signals() -> frozenset[int]:
    """The signals for which this process has a handler in Python."""
    return frozenset(
        number for number in signal.valid_signals() if callable(signal.getsignal(number))
    )
