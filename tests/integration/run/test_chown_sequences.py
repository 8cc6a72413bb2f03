"""chown(2) among other changes of a file. Each account finds the same in the exported files: one with subordinate ids, for
which the kernel changes owners, and one with a single id, for which the union records them.

A write takes set-id bits away, which root of a user namespace cannot prevent (setattr_should_drop_suidgid, fs/attr.c).
"""

import tarfile
from pathlib import Path

import pytest

from tests.support.rootless import Rootless

pytestmark = pytest.mark.needs("userns", "fuse")

SCRIPT = """
set -e
mkdir /w; cd /w
touch set-id lost lost-group by-name renamed-from over by a h1 truncated written race
chown 5:6 set-id; chmod 6755 set-id
chmod 6755 lost; chown 8:9 lost
chmod 2644 lost-group; chown 8:9 lost-group
mkdir d; chown 10:11 d; chmod 3775 d; touch d/inherits; mkdir d/inherits-too
ln -s none link; chown -h 12:13 link
ln h1 h2; ln h1 h3; chown 14:15 h2; rm h2
chown 16:17 renamed-from; mv renamed-from renamed; mv d moved
chown 18:19 over; mv by over
mkfifo fifo; chown 20:21 fifo; chmod 660 fifo
chown 22:23 truncated; chmod 6755 truncated; truncate -s 5 truncated
chown 24:25 written; chmod 6755 written; echo x >>written
chown 26:27 /lower/owned /lower/d; echo y >>/lower/owned; mv /lower/d /w/moved-lower
echo z >>/lower/written; chown 28:29 /lower/written; chmod 4711 /lower/written
chown 30:31 /lower/link; chown -h 32:33 /lower/link
for n in 1 2 3 4; do (for i in 1 2 3 4 5; do chown $n$i:$n race; done) & done; wait
chown 34:35 race
for n in 1 2 3 4; do (touch p$n; chown 4$n:5$n p$n; mv p$n q$n) & done; wait
"""
EXPECTED = {
    "w/set-id": (0o6755, 5, 6),
    "w/lost": (0o755, 8, 9),
    "w/lost-group": (0o2644, 8, 9),
    "w/moved": (0o3775, 10, 11),
    "w/moved/inherits": (0o644, 0, 11),
    "w/moved/inherits-too": (0o2755, 0, 11),
    "w/link": (0o777, 12, 13),
    "w/h1": (0o644, 14, 15),
    "w/h3": (0o644, 14, 15),
    "w/renamed": (0o644, 16, 17),
    "w/over": (0o644, 0, 0),
    "w/fifo": (0o660, 20, 21),
    "w/truncated": (0o755, 22, 23),
    "w/written": (0o755, 24, 25),
    "w/moved-lower": (0o755, 26, 27),
    "lower/owned": (0o644, 26, 27),
    "lower/written": (0o4711, 28, 29),
    "lower/target": (0o644, 30, 31),
    "lower/link": (0o777, 32, 33),
    "w/race": (0o644, 34, 35),
    **{f"w/q{n}": (0o644, 40 + n, 50 + n) for n in range(1, 5)},
}


def test_owners_and_modes_in_the_image(
    rootless: Rootless, busybox_image: Path, tmp_path: Path
) -> None:
    rootless("import", busybox_image, "bb").ok()
    lower = "mkdir -p /lower/d; cd /lower; touch owned written target; ln -s target link"
    rootless("run", "--name", "c0", "bb", "sh", "-c", lower).ok()
    rootless("commit", "c0", "lower").ok()
    rootless("run", "--name", "c1", "lower", "sh", "-c", SCRIPT).ok()
    rootless("export", "-o", tmp_path / "c1.tar", "c1").ok()
    with tarfile.open(tmp_path / "c1.tar") as tar:
        found = {each.name: (each.mode, each.uid, each.gid) for each in tar}
    assert {name: found.get(name) for name in EXPECTED} == EXPECTED
    assert {"w/a", "w/lost"} < found.keys()
    assert "lower/d" not in found
