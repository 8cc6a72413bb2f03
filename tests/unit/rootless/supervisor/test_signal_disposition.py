"""Which signals are passed on, and what they do to a container's first process."""

import os
import signal

import pytest

from rootless.supervisor.signal_disposition import FORWARDED, SignalEffect, effect_of


def status(blocked=(), ignored=(), caught=()):
    def mask(numbers):
        return f"{sum(1 << (number - 1) for number in numbers):016x}"

    return (
        f"Name:\tx\nSigBlk:\t{mask(blocked)}\nSigIgn:\t{mask(ignored)}\nSigCgt:\t{mask(caught)}\n"
    )


FATAL = [
    *("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "XCPU", "XFSZ"),
    *("IO", "PWR", "ABRT", "TRAP", "SYS", "RTMIN", "RTMAX"),
]


@pytest.mark.parametrize("name", FATAL)
def test_signal_that_ends_a_process_is_forwarded_and_would_be_dropped(name):
    number = getattr(signal, f"SIG{name}")
    assert number in FORWARDED
    assert effect_of(number, status()) is SignalEffect.DROPPED
    assert effect_of(number, status(caught=[number])) is SignalEffect.TAKEN
    assert effect_of(number, status(ignored=[number])) is SignalEffect.TAKEN
    assert effect_of(number, status(blocked=[number])) is SignalEffect.BLOCKED


@pytest.mark.parametrize("name", ["CONT", "WINCH"])
def test_signal_that_ends_no_process_is_only_passed_on(name):
    number = getattr(signal, f"SIG{name}")
    assert number in FORWARDED
    assert effect_of(number, status()) is SignalEffect.TAKEN


@pytest.mark.parametrize(
    "name", ["KILL", "STOP", "CHLD", "PIPE", "TSTP", "TTIN", "TTOU", "URG", "SEGV"]
)
def test_signal_about_run_itself_stays(name):
    assert getattr(signal, f"SIG{name}") not in FORWARDED


def test_process_that_has_gone_takes_everything():
    assert effect_of(signal.SIGTERM, "") is SignalEffect.TAKEN


def test_signal_that_sigwait_waits_for_is_taken():
    """During the call the kernel shows it as neither caught nor blocked."""
    number = {"x86_64": 128, "ppc64le": 176, "s390x": 177}.get(os.uname().machine, 137)
    waiting = f"{number} 0x7ffd 0x7ffc 0x0 0x8 0x0 0x0 0x7ffd 0x7f56\n"
    assert effect_of(signal.SIGTERM, status(), waiting) is SignalEffect.TAKEN
    assert effect_of(signal.SIGTERM, status(), "running\n") is SignalEffect.DROPPED
    assert effect_of(signal.SIGTERM, status(), "") is SignalEffect.DROPPED
