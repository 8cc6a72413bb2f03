"""Changes in an upper over a directory, applied to the directory without a container."""

from __future__ import annotations

import os
import shutil
import stat

from rootless.applying.host_files import HostFiles
from rootless.applying.journal import Journal
from rootless.applying.plan import Caller, Plan, Planner
from rootless.changes.compare import compare
from unionfs.changes.snapshot import Snapshot
from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.directory.upper_readonly import ReadOnlyUpper
from unionfs.logs.first_seen import unpack_seen
from unionfs.nodes import UPPER
from unionfs.ownership import Ownership
from unionfs.union import Union, UnionOptions

OWNER = (os.geteuid(), os.getegid())
TAG = "x"


def open_union(top: bytes) -> Union:
    """The union over `top`/host, with its upper and work directory beside it."""
    upper = DirectoryUpper(
        top + b"/upper", top + b"/work", ownership=Ownership.DATA, base_owner=OWNER
    )
    options = UnionOptions(descriptors=2, volatile=True, notes_first_seen=True)
    return Union([DirectoryLayer(top + b"/host")], upper, options)


def plan_of(top: bytes) -> Plan:
    """The plan that applies everything that the upper changes."""
    upper = ReadOnlyUpper(
        top + b"/upper", top + b"/work", ownership=Ownership.DATA, base_owner=OWNER
    )
    snapshot = Snapshot([DirectoryLayer(top + b"/host")], upper)
    host = HostFiles(os.fsdecode(top + b"/host"))
    try:
        found = compare(snapshot)
        places = {
            each.change.path: upper.place(each.node.ref).removeprefix(top + b"/").decode("latin-1")
            for each in found
            if each.node is not None and each.node.layer == UPPER
        }
        seen = unpack_seen(upper.first_seen())
        caller = Caller(os.getuid(), OWNER)
        planner = Planner(
            host, seen, caller, lambda path: places[path], overrules=False, tag=TAG, restored={}
        )
        # Nothing gives a bare upper the owner and mode of the root below.
        return planner.plan([each.change for each in found if each.change.path])
    finally:
        snapshot.close()
        host.close()


def journal_of(top: bytes, plan: Plan) -> str:
    """Write the journal of a plan, beside a directory for backups. Returns its path."""
    os.mkdir(top + b"/backups")
    path = os.fsdecode(top + b"/journal")
    Journal.create(path, plan.steps).close()
    return path


def copy_tree(source: bytes, target: bytes) -> None:
    """With hard links, which shutil does not keep."""
    made: dict[int, bytes] = {}
    for above, directories, names in os.walk(source):
        place = target + above[len(source) :]
        os.makedirs(place, exist_ok=True)
        for name in [
            *names,
            *(each for each in directories if os.path.islink(above + b"/" + each)),
        ]:
            path = above + b"/" + name
            number = os.lstat(path).st_ino
            if number in made:
                os.link(made[number], place + b"/" + name, follow_symlinks=False)
            else:
                shutil.copy2(path, place + b"/" + name, follow_symlinks=False)
                made[number] = place + b"/" + name


def described(top: bytes, spare: list[int], *, times: bool) -> dict[bytes, object]:
    """Everything in a tree but the times of directories: by path, the hard links of a file by their first."""
    found: dict[bytes, object] = {}
    first: dict[int, bytes] = {}
    for above, directories, names in os.walk(top):
        directories.sort()
        for name in sorted([*directories, *names]):
            path = above + b"/" + name
            status = os.lstat(path)
            key = path[len(top) :]
            data: object = None
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    data = (
                        file.read(),
                        _xattrs(path),
                        status.st_mtime_ns if times else 0,
                    )
            elif stat.S_ISLNK(status.st_mode):
                data = os.readlink(path)
            elif stat.S_ISDIR(status.st_mode):
                data = _xattrs(path)
            is_directory = stat.S_ISDIR(status.st_mode)
            link = key if is_directory else first.setdefault(status.st_ino, key)
            nlink = 0 if is_directory else status.st_nlink - spare.count(status.st_ino)
            found[key] = (stat.filemode(status.st_mode), nlink, link, data)
    return found


def _xattrs(path: bytes) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in sorted(os.listxattr(path))}


def differences(
    one: bytes, other: bytes, backups: str = "", *, times: bool = False
) -> list[object]:
    """What differs between two trees, with `times` also the times of files. `backups`: where the first has further
    names of its files."""
    spare = (
        [os.lstat(f"{backups}/{name}").st_ino for name in os.listdir(backups)] if backups else []
    )
    mine, theirs = described(one, spare, times=times), described(other, [], times=times)
    return [
        (path, mine.get(path), theirs.get(path))
        for path in sorted(mine.keys() | theirs.keys())
        if mine.get(path) != theirs.get(path)
    ]
