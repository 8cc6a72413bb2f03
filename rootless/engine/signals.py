"""Which signals `run` passes on, and what they do to the first process of a PID namespace."""

from __future__ import annotations

import signal

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


def would_end(number: int, status: str) -> bool:
    """Whether signal `number` would have ended the process that /proc/PID/status describes, were
    it not the first of its PID namespace: the kernel drops a signal that such a process does not
    catch (pid_namespaces(7)).
    """
    if number not in _ENDING:
        return False
    bit = 1 << (number - 1)
    masks = {"SigBlk": 0, "SigIgn": 0, "SigCgt": 0}
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name in masks:
            masks[name] = int(value, 16)
    return not any(mask & bit for mask in masks.values())
