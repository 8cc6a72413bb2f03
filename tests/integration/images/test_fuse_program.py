"""What is mounted for file systems in files, and what is left of it when something fails."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rootless.errors import HostSupportError
from rootless.images.formats import fuse_program
from rootless.images.formats.ext_image import make_ext_image, mounted_ext_image

pytestmark = pytest.mark.needs("userns", "fuse", "ext3")
ENTER = ["unshare", "--user", "--map-root-user", "--mount"]


@pytest.fixture
def image(tmp_path):
    path = str(tmp_path / "x.img")
    make_ext_image(path, 16 << 20, sparse=True)
    return path


@pytest.fixture
def fuse2fs(tmp_path, monkeypatch):
    """A function that puts another fuse2fs before the one of this machine, which is $real there."""
    programs = tmp_path / "programs"
    programs.mkdir()

    def replace(script):
        program = programs / "fuse2fs"
        program.write_text(f"#!/bin/sh\nreal={shutil.which('fuse2fs')}\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    return replace


def left():
    """The directories that are left, and the mounts on them."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return [
        *glob.glob(f"{tempfile.gettempdir()}/rootless-mount-*"),
        *(line for line in mounts if "rootless-mount-" in line),
    ]


def test_an_image_is_had_again_at_once_after_a_process_that_was_killed(image):
    program = """
import os, signal, sys
from rootless.images.formats.ext_image import mounted_ext_image
with mounted_ext_image(sys.argv[1], writable=True):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program, image], check=False, timeout=120)
    assert left() != []
    with mounted_ext_image(image, writable=True) as top:
        assert "upper" in os.listdir(top)
    assert left() == []


def test_a_program_that_mounts_and_does_not_return_leaves_nothing(image, fuse2fs, monkeypatch):
    fuse2fs('"$real" "$@" || exit 1\nexec sleep 1000')
    monkeypatch.setattr(fuse_program, "_SECONDS", 2)
    served = mounted_ext_image(image, writable=True)
    with pytest.raises(HostSupportError, match="did not answer in time"), served:
        pass
    assert left() == []


def test_a_mount_counts_more_than_a_warning(image, fuse2fs):
    fuse2fs('echo "fusermount3: warning: an option is not known" >&2\nexec "$real" "$@"')
    with mounted_ext_image(image, writable=True) as top:
        assert "upper" in os.listdir(top)
    assert left() == []


def test_a_place_without_room_gives_way_to_another(image, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    program = """
import os, subprocess, sys
place, image = sys.argv[1:]
# Its top directory and one more.
subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=2", "none", place], check=True)
from rootless.images.formats.ext_image import mounted_ext_image
with mounted_ext_image(image, writable=True) as top:
    assert not top.startswith(place), top
    print(*os.listdir(top))
assert os.listdir(place) == [], os.listdir(place)
"""
    done = subprocess.run(
        [*ENTER, sys.executable, "-c", program, place, image],
        env=os.environ | {"TMPDIR": str(place)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "upper" in done.stdout


@pytest.mark.needs("subuid")
def test_root_unmounts_nothing_that_another_user_names(tmp_path):
    tmp_path.chmod(0o711)
    program = """
import os, subprocess, sys
place = sys.argv[1]
os.chmod(place, 0o1777)
kept, others, link, ours = (f"{place}/{name}" for name in (
    "kept", "rootless-mount-others", "rootless-mount-link", "rootless-mount-ours"))
for path in (kept, others, f"{others}/top", link, ours, f"{ours}/top"):
    os.mkdir(path)
os.symlink(kept, f"{link}/top")
os.chown(others, 1, 1)
for path in (kept, f"{others}/top", f"{ours}/top"):
    subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
from rootless.images.formats.fuse_program import remove_left
remove_left()
print(*(int(os.path.ismount(path)) for path in (kept, f"{others}/top")), int(os.path.exists(ours)))
"""
    place = tmp_path / "place"
    place.mkdir()
    done = subprocess.run(
        [*ENTER, "--map-auto", sys.executable, "-c", program, place],
        env=os.environ | {"TMPDIR": str(place)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("1 1 0\n", "")
