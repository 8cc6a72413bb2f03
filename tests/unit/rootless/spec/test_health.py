"""The health check of a container, of its options and its image, as Docker 28.5 was seen to merge them."""

import pytest

from rootless.errors import UsageError
from rootless.spec.health import (
    HealthCheck,
    HealthLog,
    OnUnhealthy,
    StartupCheck,
    as_plain,
    document,
    effective,
    from_plain,
    merged,
)

SECOND = 10**9
IMAGE = {"Healthcheck": {"Test": ["CMD", "echo", "hi"], "Interval": SECOND, "Retries": 2}}


def test_image_without_and_container_without() -> None:
    assert document(merged(None, {})) is None
    assert effective(merged(None, {}), None) is None


def test_what_is_not_given_is_the_images() -> None:
    shown = document(merged(HealthCheck(interval=SECOND // 2), IMAGE))
    assert shown == {"Test": ["CMD", "echo", "hi"], "Interval": SECOND // 2, "Retries": 2}
    shown = document(merged(HealthCheck(("CMD-SHELL", "echo over")), IMAGE))
    assert shown == {"Test": ["CMD-SHELL", "echo over"], "Interval": SECOND, "Retries": 2}
    shown = document(merged(HealthCheck(("NONE",)), IMAGE))
    assert shown == {"Test": ["NONE"], "Interval": SECOND, "Retries": 2}


def test_defaults_are_dockers() -> None:
    check = effective(HealthCheck(("CMD", "true")), None)
    assert check == HealthCheck(("true",), 30 * SECOND, 30 * SECOND, 0, 5 * SECOND, 3)


@pytest.mark.parametrize(
    ("test", "shell", "command"),
    [
        (("CMD", "echo", "hi"), None, ("echo", "hi")),
        (("CMD-SHELL", "exit 3"), None, ("/bin/sh", "-c", "exit 3")),
        (("CMD-SHELL", "exit 3"), ["/bin/bash", "-ec"], ("/bin/bash", "-ec", "exit 3")),
    ],
)
def test_command(test: tuple[str, ...], shell: list[str] | None, command: tuple[str, ...]) -> None:
    check = effective(HealthCheck(test), shell)
    assert check is not None
    assert check.test == command


@pytest.mark.parametrize("test", [(), ("NONE",), ("CMD",), ("CMD-SHELL",), ("OTHER", "x")])
def test_check_without_a_command_is_not_carried_out(test: tuple[str, ...]) -> None:
    assert effective(HealthCheck(test, retries=3), None) is None


def test_action_needs_a_command() -> None:
    with pytest.raises(UsageError, match="cannot set on-failure action to kill without a health"):
        effective(HealthCheck(("NONE",), on_unhealthy=OnUnhealthy.KILL), None)


def test_plain_form_is_read_as_it_was_written() -> None:
    check = HealthCheck(("CMD", "x"), 1, 2, 3, 4, 5, OnUnhealthy.STOP)
    assert from_plain(as_plain(check)) == check
    startup = StartupCheck(("CMD", "y"), 1, 2, 3, 4)
    check = check._replace(startup=startup, log=HealthLog(0, 7))
    assert from_plain(as_plain(check)) == check


def test_document_of_an_earlier_version_has_no_startup_check():
    check = HealthCheck(("CMD", "x"), 1, 2, 3, 4, 5)
    plain = as_plain(check)
    del plain["startup"], plain["log"]
    assert from_plain(plain) == check


def test_startup_check_needs_a_check():
    startup = StartupCheck(("CMD-SHELL", "true"))
    with pytest.raises(UsageError, match="cannot set a startup healthcheck when there is no"):
        effective(HealthCheck(startup=startup), None)
    check = effective(HealthCheck(("CMD", "true"), startup=startup), None)
    assert check is not None
    assert check.startup == StartupCheck(("/bin/sh", "-c", "true"), 30 * SECOND, 30 * SECOND, 0, 1)
