"""Runs the checks of a file in the guest, one after the other.

One process and no test framework, because starting Python costs half a second there. A check prints
one line (the Test Anything Protocol's); the last line counts them.
"""

import functools
import os
import sys
import time
from pathlib import Path

STARTED = time.monotonic()
ATTEMPTS_TO_MEASURE = 4
checks = []


def check(function):
    """Registers a function: it raises when the check fails, and may return a remark."""
    checks.append(function)
    return function


def measurement(function):
    """Registers a check that compares times or rates.

    The guest's processors are emulated by a machine that may be busy with something else, so that one
    bad figure says nothing of the limit: the check holds when one attempt of a few does.
    """

    @functools.wraps(function)
    def attempts():
        for _ in range(ATTEMPTS_TO_MEASURE - 1):
            try:
                return function()
            except AssertionError as error:
                print(f"# measured again: {error!r}", flush=True)
        return function()

    return check(attempts)


def wait_until(condition, seconds=300):
    """What the condition says when it says something."""
    deadline = time.monotonic() + seconds
    while not (said := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
    return said


def elapsed(function):
    start = time.monotonic()
    function()
    return time.monotonic() - start


def place_of(error):
    """Where it was raised: file and line."""
    traceback = error.__traceback__
    while traceback.tb_next:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"


def main():
    group = Path("/proc/self/cgroup").read_text().strip()
    print(f"# kernel {os.uname().release}, in {group}", flush=True)
    failed = 0
    for number, function in enumerate(checks, 1):
        try:
            verdict, remark = "ok", function() or ""
        except Exception as error:
            failed += 1
            verdict, remark = "not ok", f"{error!r} at {place_of(error)}"
        name = function.__name__.replace("_", " ")
        seconds = time.monotonic() - STARTED
        print(f"{verdict} {number} - {name} # {remark} [{seconds:.1f} s]", flush=True)
    print(f"{len(checks) - failed} passed, {failed} failed", flush=True)
    sys.exit(bool(failed))
