"""Databases that run through snapshots: each snapshot, and a branch of it, recovers what was committed at its time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import probes
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


PSQL = ("psql", "-h", "/tmp", "-U", "postgres", "-qtAc")
POSTGRES = """
set -e
bin=$(echo /usr/lib/postgresql/*/bin)
[ -e /var/lib/postgresql/data ] || "$bin/initdb" -D /var/lib/postgresql/data >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
rm -f /var/lib/postgresql/data/postmaster.pid /tmp/.s.*
exec "$bin/postgres" -D /var/lib/postgresql/data -k /tmp -c listen_addresses=
"""


@pytest.mark.slow
def test_postgresql(rootless: Rootless, services_image: Path) -> None:
    def sql(name: str, text: str) -> str:
        return rootless("exec", name, *PSQL, text).ok().stdout.strip()

    def wait(name: str) -> None:
        wait_until(lambda: rootless("exec", name, *PSQL, "select 1").status == 0)

    rootless("import", services_image, "services", timeout=180).ok()
    user = (
        ("-u", "postgres")
        if probes.lacking("subuid") is None
        else ("--userns", "keep-id:uid=101,gid=103")
    )
    rootless("run", "-d", "--name", "db", *user, "services", "sh", "-c", POSTGRES).ok()
    wait("db")
    sql("db", "create table t (a int); insert into t select generate_series(1, 1000)")
    for number in range(1, 6):
        sql(
            "db",
            f"insert into t select generate_series(1, 1000); update t set a = a + 1 where a % {number} = 0",
        )
        sql("db", f"create table kept{number} as select count(*), sum(a) from t")
        rootless("snapshot", "db", f"s{number}").ok()
    for tag in ("s2", "s4"):
        rootless("branch", f"db@{tag}", tag).ok()
        rootless("start", tag).ok()
        wait(tag)
        assert sql(tag, "select count(*), sum(a) from t") == sql(tag, f"select * from kept{tag[1]}")
        assert rootless("exec", tag, *PSQL, f"select * from kept{int(tag[1]) + 1}").status != 0
        sql(tag, "drop table t")
    rootless("rollback", "--force", "db", "s3").ok()
    rootless("start", "db").ok()
    wait("db")
    assert sql("db", "select count(*), sum(a) from t") == sql("db", "select * from kept3")
