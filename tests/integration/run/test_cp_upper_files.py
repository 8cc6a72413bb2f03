"""`rootless cp` of directories out of a container, of which the files are read where they lie."""

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

_COUNT = 200
"""Files enough that those at the end are not read through the mount."""

_MAKE = f"""
mkdir -p /d/sub /tmp; i=0
while [ $i -lt {_COUNT} ]; do echo $i >/d/sub/$i; i=$((i+1)); done
"""


def held(box, script):
    """A running container that has done as `script` says, and has not closed what that has opened."""
    box("run", "-d", "--name", "cc", "box:1", "sh", "-c", f"{script}\ntouch /ready; sleep 1000")
    box("exec", "cc", "sh", "-c", "until [ -e /ready ]; do sleep 0.1; done").ok()


def copied(box, target, path="/d"):
    """The contents of the files below a directory of the container, by name."""
    box("cp", f"cc:{path}", target).ok()
    found = {
        os.path.relpath(os.path.join(top, name), target): Path(top, name)
        for top, _, names in os.walk(target)
        for name in names
    }
    data = box("cp", f"cc:{path}", "-").ok().stdout.encode("utf-8", "surrogateescape")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        below = {
            member.name.partition("/")[2]: archive.extractfile(member).read()
            for member in archive
            if member.isreg()
        }
    contents = {name: path.read_bytes() for name, path in found.items()}
    assert contents == below
    return contents


def test_what_is_written_to_open_files_is_copied(box, tmp_path):
    held(
        box,
        f"{_MAKE} exec 3<>/d/sub/150; printf 2 >&3; exec 4>>/d/sub/151; echo more >&4;"
        "exec 5>/d/sub/new; echo new >&5",
    )
    found = copied(box, tmp_path / "out")
    expected = {f"sub/{n}": b"%d\n" % n for n in range(_COUNT)}
    expected |= {"sub/150": b"250\n", "sub/151": b"151\nmore\n", "sub/new": b"new\n"}
    assert found == expected


def test_directories_that_were_exchanged_have_their_own_files(box, tmp_path):
    held(
        box,
        f"{_MAKE} touch -d 2001-01-01 /d/sub/*; cp -a /d/sub /d/other;"
        "for i in /d/other/*; do printf x >$i; touch -d 2001-01-01 $i; done;"
        "printf y >/d/sub/150; touch -d 2001-01-01 /d/sub/150;"
        "mv /d/sub /d/t; mv /d/other /d/sub; mv /d/t /d/other",
    )
    found = copied(box, tmp_path / "out")
    assert found["sub/150"] == b"x"
    assert found["other/150"] == b"y"
    assert len(found) == 2 * _COUNT


def test_files_of_a_stopped_container_are_copied(box, tmp_path):
    box("run", "--name", "cc", "box:1", "sh", "-c", f"{_MAKE} chown 1:1 /d/sub/160").ok()
    found = copied(box, tmp_path / "out")
    assert found == {f"sub/{n}": b"%d\n" % n for n in range(_COUNT)}


def test_files_of_the_image_that_were_changed_in_part_are_whole(box, tmp_path):
    """A large file is copied up lazily, and its attributes are changed without a copy."""
    box(
        "run", "--name", "cc", "box:1", "sh", "-c", f"{_MAKE} head -c 3000000 /dev/zero >/d/sub/z"
    ).ok()
    box("commit", "cc", "made:1").ok()
    box("rm", "cc").ok()
    box(
        "run", "-d", "--name", "cc", "made:1", "sh", "-c",
        f"rm -r /d/sub/100; {_MAKE} chmod 600 /d/sub/z; printf a | dd of=/d/sub/z bs=1 seek=2000000 conv=notrunc;"
        "touch -d 2001-01-01 /d/sub/99; touch /ready; sleep 1000",
    ).ok()  # fmt: skip
    box("exec", "cc", "sh", "-c", "until [ -e /ready ]; do sleep 0.1; done").ok()
    found = copied(box, tmp_path / "out")
    assert len(found["sub/z"]) == 3_000_000
    assert found["sub/z"].replace(b"\0", b"") == b"a"
    assert stat.S_IMODE((tmp_path / "out" / "sub" / "z").stat().st_mode) == 0o600
    assert (tmp_path / "out" / "sub" / "99").stat().st_mtime < 1e9


def test_mounts_below_the_directory_are_copied_as_they_are_seen(box, tmp_path):
    for name in ("150", "own"):
        (tmp_path / "bound" / name).mkdir(parents=True)
        (tmp_path / "bound" / name / "inner").write_text("bound\n")
    box(
        "run", "--name", "made", "box:1", "sh", "-c",
        f"{_MAKE} mkdir /d/mnt; echo hidden >/d/mnt/hidden",
    ).ok()  # fmt: skip
    box("commit", "made", "made:1").ok()
    box(
        "run", "-d", "--name", "cc", "-v", f"{tmp_path}/bound:/d/mnt", "--tmpfs", "/d/memory", "made:1", "sh",
        "-c", "for i in /d/sub/*; do echo again >$i; done; echo m >/d/memory/m; touch /ready; sleep 1000",
    ).ok()  # fmt: skip
    box("exec", "cc", "sh", "-c", "until [ -e /ready ]; do sleep 0.1; done").ok()
    found = copied(box, tmp_path / "out")
    assert found["mnt/150/inner"] == b"bound\n"
    assert found["memory/m"] == b"m\n"
    assert "mnt/hidden" not in found
    assert found["sub/150"] == b"again\n"


def test_files_with_times_in_the_past_and_in_the_future_are_copied(box, tmp_path):
    held(
        box,
        f"{_MAKE} for i in 150 160; do echo new$i >/d/sub/$i; done;"
        "touch -d 2001-01-01 /d/sub/150; touch -d 2037-01-01 /d/sub/160;"
        "exec 3<>/d/sub/170; printf NEW >&3; touch -d 2001-01-01 /d/sub/170; printf E >&3",
    )
    found = copied(box, tmp_path / "out")
    assert found["sub/150"] == b"new150\n"
    assert found["sub/160"] == b"new160\n"
    assert found["sub/170"] == b"NEWE"
    assert (tmp_path / "out" / "sub" / "160").stat().st_mtime > 2e9
