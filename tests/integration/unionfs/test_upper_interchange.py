"""An upper under real ownership means the same to kernel overlayfs and to the union, in turns."""

from __future__ import annotations

import os
import subprocess

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
        timeout=30,
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


@pytest.mark.needs("userns")
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
