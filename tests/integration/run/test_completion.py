"""What a shell completes: names of what is in the store, and the words that an option takes."""

import io
import os
import subprocess
import sys
import tarfile

import pytest


@pytest.fixture
def complete(rootless, tmp_path):
    with tarfile.open(tmp_path / "root.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("file"), io.BytesIO())
    rootless("import", tmp_path / "root.tar", "team/app:1").ok()
    rootless("run", "--name", "box", "--rootfs", "/", "true").ok()

    def words(line):
        asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        done = subprocess.run(
            [sys.executable, "-m", "rootless"],
            env=os.environ | rootless.env | asked | {"_ROOTLESS_COMPLETE": "complete_bash"},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert done.stderr == ""
        return done.stdout.split()

    return words


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rootless rmi ", ["team/app:1"]),
        ("rootless image inspect te", ["team/app:1"]),
        ("rootless run te", ["team/app:1"]),
        ("rootless run --rm team/app:1 ", []),
        ("rootless rm ", ["box"]),
        ("rootless rm b", ["box"]),
        ("rootless rm box ", []),
        ("rootless inspect ", ["box", "team/app:1"]),
        ("rootless commit x", []),
        ("rootless run --pull n", ["never", "newer"]),
        ("rootless save --format oci-", ["oci-archive", "oci-dir"]),
        ("rootless --root /nonexistent rmi ", []),
        ("rootless sav", ["save"]),
    ],
)
def test_word_is_completed(complete, line, expected):
    assert complete(line) == expected
