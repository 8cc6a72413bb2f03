"""The processes of a container: its monitor, its file servers, and the client's side of their protocol."""

FIRST_QUIET = 3.0
"""Seconds without work after which a process stands by (`rootless.supervisor.standby`)."""
_MOST_QUIET = 3600.0


def longer_quiet(quiet: float) -> float:
    """The seconds without work after which a process that has waited for `quiet` seconds stands by again: twice as many,
    because to stand by and to resume takes some tens of milliseconds.
    """
    return min(2 * quiet, _MOST_QUIET)
