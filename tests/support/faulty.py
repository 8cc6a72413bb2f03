"""A file system that fails or delays operations on request, mounted on the host: what an upper lies on
where a test wants its disk to be bad.

    python -m tests.support.faulty DIRECTORY MOUNTPOINT CONTROL [late]

CONTROL is a JSON object, read at each operation: {"write": "EIO", "fsync": 1.5}. A name of an errno is
raised; a number is how many seconds the operation takes. `late`: the kernel keeps what is written in its
cache, as a client of NFS does, so that write(2) succeeds and close(2) or fsync(2) fails.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.waiting import wait_until
from unionfs.commands.mount import MountOptions, mount
from unionfs.directory import DirectoryUpper
from unionfs.ops.transfers import Transfer
from unionfs.ownership import Ownership
from unionfs.session.options import ServeOptions
from unionfs.union import Union, UnionOptions

CHECKOUT = Path(__file__).parents[2]


class Faulty(Union):
    def __init__(self, directory: str, control: str) -> None:
        upper, work = f"{directory}/files".encode(), f"{directory}/work".encode()
        ours = (os.geteuid(), os.getegid())
        layer = DirectoryUpper(upper, work, ownership=Ownership.DATA, base_owner=ours)
        super().__init__([], layer, UnionOptions(volatile=True))
        self._control = control

    def _meet(self, operation: str) -> None:
        with open(self._control) as file:
            fault = json.load(file).get(operation, 0)
        if isinstance(fault, str):
            number = getattr(errno, fault)
            raise OSError(number, os.strerror(number))
        time.sleep(fault)

    def lookup(self, parent, name):
        self._meet("lookup")
        return super().lookup(parent, name)

    def read(self, nodeid, offset, size):
        self._meet("read")
        return super().read(nodeid, offset, size)

    def read_into(self, nodeid, offset, buffer):
        self._meet("read")
        return super().read_into(nodeid, offset, buffer)

    def source(self, nodeid, offset, size):
        return None

    def write(self, nodeid, offset, data, *, kill_privileges=False):
        self._meet("write")
        if offset + len(data) > self.getattr(nodeid).size:
            self._meet("grow")  # as under a quota: what is allocated can be written over
        return super().write(nodeid, offset, data, kill_privileges=kill_privileges)

    def copy_file_range(self, *_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def begin_copy_range(self, *_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def unlink(self, parent, name):
        self._meet("unlink")
        super().unlink(parent, name)

    def fallocate(self, *_, **__):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))  # as NFS before 4.2

    def begin_fsync(self, nodeid, datasync):
        inner = super().begin_fsync(nodeid, datasync)

        def sync() -> int:
            try:
                self._meet("fsync")
                return inner.run()
            finally:
                inner.finish()

        return Transfer(sync)

    def setxattr(self, nodeid, name, value, flags):
        self._meet("setxattr")
        super().setxattr(nodeid, name, value, flags)


class Disk:
    """The mount, from the side of a test."""

    def __init__(self, path: Path, control: Path) -> None:
        self.path = path
        self._control = control

    def fails(self, **faults: str | float) -> None:
        """From now on these operations fail, or take so long; no others."""
        new = self._control.with_suffix(".new")
        new.write_text(json.dumps(faults))
        new.rename(self._control)


@contextlib.contextmanager
def faulty_disk(directory: Path, *, late: bool = False) -> Iterator[Disk]:
    mountpoint, control = directory / "disk", directory / "control"
    mountpoint.mkdir()
    disk = Disk(mountpoint, control)
    disk.fails()
    arguments = [str(control), *(["late"] if late else [])]
    with served_disk("tests.support.faulty", directory, mountpoint, *arguments):
        try:
            yield disk
        finally:
            disk.fails()


@contextlib.contextmanager
def served_disk(module: str, directory: Path, mountpoint: Path, *arguments: str) -> Iterator[None]:
    """The file system that `python -m MODULE DIRECTORY MOUNTPOINT ARGUMENT...` mounts and serves."""
    argv = [sys.executable, "-m", module, str(directory), str(mountpoint), *arguments]
    server = subprocess.Popen(argv, cwd=CHECKOUT)
    try:
        wait_until(lambda: os.path.ismount(mountpoint), alive=server)
        yield
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(mountpoint)], check=False, timeout=120)
        try:
            server.wait(120)
        finally:
            server.kill()
            server.wait()


def main() -> None:
    directory, mountpoint, control, *late = sys.argv[1:]
    filesystem = Faulty(directory, control)
    device = mount(mountpoint, MountOptions(default_permissions=True))
    from unionfs.session.device import serve

    serve(device, filesystem, ServeOptions(writeback=bool(late)))


if __name__ == "__main__":
    main()
