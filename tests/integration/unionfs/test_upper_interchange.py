"""An upper under real ownership means the same to kernel overlayfs and to the union, in turns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import Ownership
from unionfs.union import Union, UnionOptions

CALLER = Caller(os.geteuid(), os.getegid())

KERNEL = """
set -e
cd {top}
mount -t overlay overlay -o userxattr,lowerdir=lower,upperdir=upper,workdir=work mnt
cd mnt
{script}
"""


def in_kernel(top: str, script: str) -> str:
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", KERNEL.format(top=top, script=script)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def open_union(top: str) -> Union:
    upper = DirectoryUpper(
        os.fsencode(f"{top}/upper"), os.fsencode(f"{top}/work"), ownership=Ownership.REAL
    )
    return Union([DirectoryLayer(os.fsencode(f"{top}/lower"))], upper, UnionOptions(redirect=False))


def names(union: Union, nodeid: int = ROOT_NODE) -> set[bytes]:
    return {item.name for item in union.readdir(nodeid, 0)}


@pytest.mark.needs("userns", "overlay")
def test_kernel_overlayfs_and_the_union_take_turns_on_one_upper(tmp_path) -> None:
    top = str(tmp_path)
    for directory in ("lower/d/sub", "lower/e", "mnt", "upper", "work"):
        os.makedirs(f"{top}/{directory}")
    for name in ("lower/f", "lower/d/x", "lower/d/y", "lower/e/z"):
        with open(f"{top}/{name}", "w", encoding="ascii") as file:
            file.write(name)
    union = open_union(top)
    union.unlink(ROOT_NODE, b"f")
    e = union.lookup(ROOT_NODE, b"e").nodeid
    union.unlink(e, b"z")
    union.rmdir(ROOT_NODE, b"e")
    union.mkdir(ROOT_NODE, b"e", 0o755, CALLER)
    d = union.lookup(ROOT_NODE, b"d").nodeid
    x = union.lookup(d, b"x").nodeid
    number = union.getattr(x).ino
    union.write(x, 0, b"UNION")
    union.rename(d, b"y", d, b"why", 0)
    union.setattr(x, SetAttributes(mode=0o600))
    union.destroy()
    seen = in_kernel(
        top, "find . | sort; cat d/x d/why; stat -c %a d/x; rm d/why; mkdir f; mv d/x f/"
    )
    assert seen == ".\n./d\n./d/sub\n./d/why\n./d/x\n./e\nUNION/d/xlower/d/y600\n"
    union = open_union(top)
    assert names(union) == {b"d", b"e", b"f"}
    assert names(union, union.lookup(ROOT_NODE, b"d").nodeid) == {b"sub"}
    moved = union.lookup(union.lookup(ROOT_NODE, b"f").nodeid, b"x")
    assert union.read(moved.nodeid, 0, 99) == b"UNION/d/x"
    assert moved.attributes.ino == number
    union.rmdir(union.lookup(ROOT_NODE, b"d").nodeid, b"sub")
    union.rmdir(ROOT_NODE, b"d")
    union.destroy()
    assert in_kernel(top, "find . | sort") == ".\n./e\n./f\n./f/x\n"


CHANGE_AND_READ = r"""
set -e
listing() { (cd "$1" && find . -printf '%p %y %m %n %s\n' | sort; cat "$1"/*/deep/file "$1"/big | cksum); }
{program} -o lowerdir=lower,upperdir=upper,workdir=work mnt
python3 - <<'P'
import errno, os
try:
    os.rename("mnt/d", "mnt/e")
except OSError as error:
    print(errno.errorcode[error.errno])
with open("mnt/big", "r+b") as file:
    file.write(b"ab")
assert open("upper/big", "rb").read() == open("mnt/big", "rb").read(), "upper of a mounted union"
P
mv mnt/d mnt/moved
rm mnt/gone; rm -r mnt/replaced; mkdir mnt/replaced; echo new > mnt/replaced/new
ln mnt/big mnt/bigger; mv mnt/plain mnt/renamed
chmod 600 mnt/renamed
listing mnt > union
umount mnt
fuse-overlayfs -o lowerdir=lower,upperdir=upper,workdir=work mnt
listing mnt > fuse
umount mnt
mount -t overlay overlay -o userxattr,lowerdir=lower,upperdir=upper,workdir=work mnt
listing mnt > kernel
umount mnt
# The kernel shows one link for a directory that is merged.
diff union fuse && diff <(sed -E 's/ d ([0-9]+) [0-9]+ [0-9]+/ d \1/' union) \
    <(sed -E 's/ d ([0-9]+) [0-9]+ [0-9]+/ d \1/' kernel)
echo same
"""


@pytest.mark.needs("userns", "fuse", "overlay", "fuse-overlayfs")
def test_upper_of_a_mount_with_default_options_means_the_same_to_every_union(tmp_path) -> None:
    for directory in ("lower/d/deep", "lower/replaced", "mnt", "upper", "work"):
        (tmp_path / directory).mkdir(parents=True)
    for name in ("d/deep/file", "d/x", "replaced/old", "gone", "plain"):
        (tmp_path / "lower" / name).write_text(name)
    (tmp_path / "lower/big").write_bytes(os.urandom(4 << 20))
    script = CHANGE_AND_READ.replace("{program}", f"{sys.executable} -m unionfs")
    done = subprocess.run(
        ["unshare", "-Urm", "bash", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "EXDEV\nsame\n"), done.stderr
