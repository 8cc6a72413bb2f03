"""Waiting for a condition, with a bound: the only place of the suite that sleeps."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

_Value = TypeVar("_Value")
_PAUSE = 0.01


def wait_until(
    condition: Callable[[], _Value],
    seconds: float = 120,
    *,
    alive: subprocess.Popen[bytes] | None = None,
) -> _Value:
    """The first value of the condition that is true.

    Raises AssertionError after `seconds`, or when the process that is to bring it about has ended. The bound is for what
    never comes, and waits for a machine that is busy: it is none for a time that is to be kept.
    """
    end = time.monotonic() + seconds
    while not (value := condition()):
        if alive is not None and alive.poll() is not None:
            said = alive.stderr.read().decode() if alive.stderr is not None else ""
            raise AssertionError(f"{alive.args!r} ended with {alive.returncode}: {said}")
        assert time.monotonic() < end, f"not within {seconds} seconds"
        time.sleep(_PAUSE)
    return value


def assert_stays(condition: Callable[[], object], seconds: float = 0.3) -> None:
    """Check that a condition holds at every look for a while: for what must not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition()
        time.sleep(_PAUSE)


def settled(read: Callable[[], _Value], seconds: float = 0.5, bound: float = 120) -> _Value:
    """A value that has not changed for a while. Raises AssertionError if it goes on changing."""
    start = since = time.monotonic()
    last = read()
    while time.monotonic() - since < seconds:
        assert time.monotonic() - start < bound, f"still changing: {last!r}"
        time.sleep(_PAUSE)
        if (now := read()) != last:
            last, since = now, time.monotonic()
    return last


def let_pass(seconds: float) -> None:
    """Wait without a condition: for what is done at any moment, which chance chooses."""
    time.sleep(seconds)
