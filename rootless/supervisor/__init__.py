"""The processes of a container: its monitor, its file servers, and the client's side of their protocol."""

import posix

FIRST_QUIET = 3.0
"""Seconds without work after which a process stands by (`rootless.supervisor.standby`)."""
_MOST_QUIET = 3600.0
_EARLY_QUIET = 0.2


class _Turn:
    """The turn of this process, if it waits for one before it starts a container (`rootless.supervisor.admission`)."""

    slot = -1
    """The descriptor that keeps others waiting; -1 if there is none."""
    has_waited = False

    def end(self) -> None:
        """Let another process start its container: this one's runs, or it waits for something else than this machine.
        Idempotent.
        """
        if self.slot >= 0:
            posix.close(self.slot)
            self.slot = -1

    def first_quiet(self) -> float:
        """The FIRST_QUIET of a command that is waited for, and of its monitor: shorter if many start at once, whose memory
        would add up.
        """
        return _EARLY_QUIET if self.has_waited else FIRST_QUIET


turn = _Turn()


def longer_quiet(quiet: float) -> float:
    """The seconds without work after which a process that has waited for `quiet` seconds stands by again: twice as many,
    because to stand by and to resume takes some tens of milliseconds.
    """
    return min(2 * quiet, _MOST_QUIET)
