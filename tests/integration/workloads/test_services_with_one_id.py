"""PostgreSQL for an account without subordinate ids: its data are given to it by chown, and belong to it in the image."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.support.rootless import Rootless

PREPARE = """
install -d -o postgres -g postgres -m 2775 /run/postgresql
mkdir -m 700 /srv/pg && chown postgres:postgres /srv/pg
echo $(id -u postgres) $(id -g postgres)
"""
WORK = r"""
set -e
bin=$(ls -d /usr/lib/postgresql/*/bin)
$bin/initdb -D /srv/pg >/tmp/log
$bin/pg_ctl -D /srv/pg -l /tmp/server -w start >/tmp/log
psql -h /run/postgresql -d postgres -Atqc \
  "create table t(a int); insert into t select generate_series(1, 1000); select sum(a) from t"
$bin/pg_ctl -D /srv/pg -m fast stop >/tmp/log
"""


@pytest.mark.slow
@pytest.mark.needs("userns", "nosub", "fuse")
def test_postgresql_owns_its_data_in_the_image(
    rootless: Rootless, services_image: Path, tmp_path: Path
) -> None:
    rootless("import", services_image, "services", timeout=180).ok()
    run = ("run", "--network", "none", "--name")
    uid, gid = rootless(*run, "first", "services", "sh", "-c", PREPARE).ok().stdout.split()
    rootless("commit", "first", "prepared").ok()
    keep = ("--userns", f"keep-id:uid={uid},gid={gid}")
    worked = rootless(*run, "second", *keep, "prepared", "sh", "-c", WORK, timeout=120).ok()
    assert worked.stdout == "500500\n"
    archive = tmp_path / "second.tar"
    rootless("export", "-o", archive, "second", timeout=180).ok()
    with tarfile.open(archive) as tar:
        data = [each for each in tar if each.name.startswith(("srv/pg", "run/postgresql"))]
    assert len(data) > 900
    assert {(each.uid, each.gid) for each in data} == {(int(uid), int(gid))}
