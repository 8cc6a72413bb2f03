"""The suite runs as an ordinary user, because it tests what one can do."""

from __future__ import annotations

import os
from pathlib import Path


def test_suite_process_holds_no_capability() -> None:
    status = dict(
        line.split(":\t", 1)
        for line in Path("/proc/self/status").read_text().splitlines()
        if ":\t" in line
    )
    held = {name: status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    assert {int(value, 16) for value in held.values()} == {0}, held
    assert 0 not in os.getresuid() + os.getresgid()


def test_suite_process_may_still_use_setuid_helpers() -> None:
    # newuidmap and fusermount3 gain nothing under no_new_privs or with an emptied bounding set; the
    # suite would skip half.
    status = Path("/proc/self/status").read_text()
    assert "NoNewPrivs:\t0" in status
