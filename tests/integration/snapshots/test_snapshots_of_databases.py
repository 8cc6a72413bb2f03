"""Databases that run through snapshots: each snapshot, and a branch of it, recovers what was committed at its time."""

from __future__ import annotations

import sys

import pytest

from tests.support.rootless import Rootless
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

SQLITE = r"""
import os, sqlite3
os.makedirs("/srv/work", exist_ok=True)
base = sqlite3.connect("/srv/work/base", isolation_level=None)
base.execute("pragma journal_mode=wal"); base.execute("pragma synchronous=full")
base.execute("pragma wal_autocheckpoint=20")
base.execute("create table if not exists t (a integer primary key, b text)")
number = base.execute("select coalesce(max(a), 0) from t").fetchone()[0]
while True:
    number += 1
    base.execute("begin")
    base.execute("insert into t values (?, ?)", (number, "x" * (number * 37 % 900)))
    base.execute("commit")
    with open("/srv/work/.done", "w") as file: file.write(str(number))
    os.rename("/srv/work/.done", "/srv/work/done")
"""
LOOK = r"""
import sqlite3
base = sqlite3.connect("/srv/work/base")
print(base.execute("pragma integrity_check").fetchone()[0], *base.execute("select count(*), max(a) from t").fetchone())
"""


def done(rootless: Rootless) -> int:
    return int(rootless("exec", "box", "cat", "/srv/work/done").stdout or 0)


def test_sqlite_in_wal_mode(rootless: Rootless) -> None:
    rootless("run", "-d", "--name", "box", "--rootfs", "/", sys.executable, "-c", SQLITE).ok()
    wait_until(lambda: done(rootless) > 50)
    committed = {}
    for number in range(6):
        committed[f"s{number}"] = done(rootless)
        rootless("snapshot", "box", f"s{number}").ok()
        wait_until(lambda least=committed[f"s{number}"]: done(rootless) > least + 20)  # type: ignore[misc]
    for tag, least in committed.items():
        rootless("branch", f"box@{tag}", f"of-{tag}").ok()
        # With another command: what the branch was made of goes on to write.
        rootless("start", f"of-{tag}").ok()
        found = rootless("exec", f"of-{tag}", sys.executable, "-c", LOOK).ok().stdout.split()
        assert (found[0], found[1]) == ("ok", found[2])
        assert int(found[2]) >= least
        rootless("rm", "-f", f"of-{tag}").ok()
    rootless("rollback", "--force", "box", "s2").ok()
    rootless("start", "box").ok()
    wait_until(lambda: done(rootless) > committed["s2"] + 20)
    found = rootless("exec", "box", sys.executable, "-c", LOOK).ok().stdout.split()
    assert (found[0], found[1]) == ("ok", found[2])
