"""Decides whether and when a container that has ended is started again, by Docker's rules. Pure."""

from __future__ import annotations

from rootless.spec.options import RestartName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.spec.options import RestartPolicy

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 60.0
_STABLE = 10.0
"""Seconds after which a run counts as a success, and the delay begins anew."""


def next_delay(delay: float, ran: float) -> float:
    """Seconds to wait after a run of `ran` seconds; `delay` was the one before it, 0 at first."""
    if delay == 0 or ran >= _STABLE:
        return _FIRST_DELAY
    return min(2 * delay, _LONGEST_DELAY)


def restarts(policy: RestartPolicy, *, exit_code: int, count: int, stopped_by_user: bool) -> bool:
    """Whether the policy starts a container again that has ended.

    Args:
        count: How often it has done so since a user started the container.
        stopped_by_user: A user has sent it a signal (`stop`, `kill`).
    """
    if policy.name is RestartName.ALWAYS:
        return True
    if policy.name is RestartName.UNLESS_STOPPED:
        return not stopped_by_user
    if policy.name is RestartName.ON_FAILURE:
        return exit_code != 0 and (policy.maximum == 0 or count < policy.maximum)
    return False
