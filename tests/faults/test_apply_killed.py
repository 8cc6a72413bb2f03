"""An apply, and an undo, killed before each of their system calls: the next one completes it."""

import os
import signal
from pathlib import Path

from rootless.applying import host_files, perform
from rootless.applying.host_files import HostFiles
from rootless.applying.journal import Journal
from rootless.applying.perform import Performer
from rootless.applying.undo import Undoing
from tests.support.applied import TAG, copy_tree, differences, journal_of, open_union, plan_of
from unionfs.model import ROOT_NODE, Caller

CALLER = Caller(os.geteuid(), os.getegid())
CALLS = (
    "link",
    "unlink",
    "mkdir",
    "rmdir",
    "symlink",
    "chmod",
    "utime",
    "open",
    "ftruncate",
    "write",
)


def prepare(place: Path, old: bytes = b"", new: bytes = b"") -> bytes:
    """A directory `host` with an upper over it that changes it in every way, and the journal of its apply. `old` and
    `new` are at the end of the contents of each file."""
    top, host = os.fsencode(place), place / "host"
    for name in ("changed", "gone", "moved/inner", "dir/x", "swapped", "linked"):
        (host / name).parent.mkdir(parents=True, exist_ok=True)
        (host / name).write_bytes(name.encode() + old)
    os.link(host / "linked", host / "other")
    copy_tree(top + b"/host", top + b"/start")
    union = open_union(top)
    try:
        _change(union, new)
    finally:
        union.destroy()
    plan = plan_of(top)
    assert plan.left == []
    journal_of(top, plan)
    return top


def _change(union, new: bytes) -> None:
    def node(name):
        return union.lookup(ROOT_NODE, name).nodeid

    def made(directory, name, data):
        entry = union.create(directory, name, 0o100640, os.O_RDWR, CALLER)
        union.write(entry.nodeid, 0, data + new)

    union.write(node(b"changed"), 0, b"CHANGED" + new)
    union.write(node(b"linked"), 0, b"LINKED" + new)
    union.unlink(ROOT_NODE, b"gone")
    union.rename(ROOT_NODE, b"moved", ROOT_NODE, b"elsewhere", 0)
    made(node(b"elsewhere"), b"new", b"new")
    union.unlink(node(b"dir"), b"x")
    union.rmdir(ROOT_NODE, b"dir")
    union.mkdir(ROOT_NODE, b"made", 0o700, CALLER)
    made(node(b"made"), b"file", b"made")
    union.symlink(ROOT_NODE, b"link", b"target", CALLER)
    union.link(node(b"swapped"), ROOT_NODE, b"name")


class Killing:
    """Kills the process before its `number`th system call of those in CALLS."""

    def __init__(self, number: int) -> None:
        self._left = number
        for name in CALLS:
            setattr(self, name, self._counted(getattr(os, name)))

    def _counted(self, call):
        def counted(*args, **kwargs):
            self.step()
            return call(*args, **kwargs)

        return counted

    def step(self) -> None:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1

    def __getattr__(self, name):
        return getattr(os, name)


def killed(work, number: int) -> bool:
    """Do the work in a child that is killed before a system call. Whether it was."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            killing = Killing(number)
            host_files.os = perform.os = killing
            rename, flush = host_files.renameat2, Journal.flush
            host_files.renameat2 = lambda *args: (killing.step(), rename(*args))[1]
            Journal.flush = lambda self: (killing.step(), flush(self))[1]
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert status == 0
    return False


def apply(top: bytes) -> None:
    host, place = HostFiles(os.fsdecode(top + b"/host")), os.fsdecode(top)
    assert (
        Performer(host, Journal.read(f"{place}/journal"), place, f"{place}/backups", TAG).run()
        == []
    )


def undo(top: bytes) -> None:
    host, place = HostFiles(os.fsdecode(top + b"/host")), os.fsdecode(top)
    undoing = Undoing(host, Journal.read(f"{place}/journal"), f"{place}/backups", TAG)
    assert undoing.changed() == []
    undoing.run()


def names(top: bytes) -> list[str]:
    return [
        name
        for _, directories, files in os.walk(top)
        for name in map(os.fsdecode, directories + files)
    ]


def test_killed_before_any_system_call_the_next_run_completes_it(tmp_path):
    whole: list[object] = []
    number, is_killed = 0, True
    while is_killed:
        top = prepare(tmp_path / str(number))
        host, start, backups = top + b"/host", top + b"/start", os.fsdecode(top + b"/backups")
        is_killed = killed(lambda top=top: apply(top), number)
        if is_killed:
            apply(top)
        found = differences(host, start, backups)
        whole = whole or found
        assert found == whole, number
        assert not [name for name in names(host) if name.startswith(".rootless")], number
        if killed(lambda top=top: undo(top), number):
            undo(top)
        found = differences(host, start, backups, times=True)
        assert found == [], number
        number += 1
    assert number > 40


def test_killed_before_any_system_call_an_undo_takes_back_what_was_done(tmp_path):
    number, is_killed = 0, True
    while is_killed:
        top = prepare(tmp_path / str(number))
        is_killed = killed(lambda top=top: apply(top), number)
        undo(top)
        found = differences(
            top + b"/host", top + b"/start", os.fsdecode(top + b"/backups"), times=True
        )
        assert found == [], number
        assert not [name for name in names(top + b"/host") if name.startswith(".rootless")], number
        number += 1
    assert number > 40
