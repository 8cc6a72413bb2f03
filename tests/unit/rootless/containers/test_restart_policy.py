"""Docker's restart policies and the delays between its attempts (restartmanager of dockerd 28.5)."""

import pytest

from rootless.containers.restart_policy import next_delay, restarts
from rootless.spec.options import RestartName, RestartPolicy


@pytest.mark.parametrize(
    ("name", "maximum", "exit_code", "count", "by_user", "expected"),
    [
        ("no", 0, 1, 0, False, False),
        ("always", 0, 0, 9, False, True),
        ("always", 0, 0, 9, True, True),
        ("unless-stopped", 0, 0, 9, False, True),
        ("unless-stopped", 0, 0, 9, True, False),
        ("on-failure", 0, 0, 0, False, False),
        ("on-failure", 0, 1, 99, False, True),
        ("on-failure", 2, 1, 1, False, True),
        ("on-failure", 2, 1, 2, False, False),
    ],
)
def test_policy_decides_by_status_count_and_user(
    name, maximum, exit_code, count, by_user, expected
):
    policy = RestartPolicy(RestartName(name), maximum)
    assert restarts(policy, exit_code=exit_code, count=count, stopped_by_user=by_user) is expected


def test_delay_doubles_up_to_a_minute_and_begins_anew_after_a_long_run():
    delays, delay = [], 0.0
    for _ in range(12):
        delay = next_delay(delay, ran=0.5)
        delays.append(delay)
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 60
    assert next_delay(60, ran=10) == 0.1
