"""Several processes at work on one union: each finds its own files as it left them, and what they share
is whole. The kind of load that fsstress makes, with what must hold at its end."""

from __future__ import annotations

import errno
import mmap
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from unionfs.syscalls.files import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    RENAME_EXCHANGE,
    fallocate,
    renameat2,
)

pytestmark = pytest.mark.needs("userns", "fuse")

CLIENTS = 4
STEPS = 300
LINE = b"%d %d\n"
UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


@pytest.fixture
def populate() -> Callable[[Path], None]:
    def fill(lower: Path) -> None:
        (lower / "shared").mkdir()
        (lower / "shared" / "log").write_bytes(b"")
        for client in range(CLIENTS):
            (lower / f"c{client}").mkdir()
            for name in range(6):
                content = random.Random(name).randbytes(50_000)
                (lower / f"c{client}" / f"f{name}").write_bytes(content)

    return fill


class Client:
    """Works in a directory of its own, and knows what its files hold."""

    def __init__(self, root: Path, number: int) -> None:
        self._number = number
        self._root = root
        self._own = root / f"c{number}"
        self._random = random.Random(number)
        self.files = {
            f"f{name}": bytearray(random.Random(name).randbytes(50_000)) for name in range(6)
        }

    def run(self) -> None:
        choices = [
            self.write,
            self.map,
            self.truncate,
            self.punch,
            self.copy,
            self.replace,
            self.exchange,
            self.make,
            self.make_without_a_name,
            self.remove,
        ]
        for step in range(STEPS):
            self._random.choice(choices)()
            self.share(step)
        self.check()

    def check(self) -> None:
        assert sorted(os.listdir(self._own)) == sorted(self.files)
        for name, content in self.files.items():
            assert (self._own / name).read_bytes() == content, name

    def _choose(self) -> str:
        if not self.files:
            self.make()
        return self._random.choice(sorted(self.files))

    def _new(self) -> str:
        return f"n{self._random.randrange(10_000)}"

    def write(self) -> None:
        name, at = self._choose(), self._random.randrange(60_000)
        data, content = self._random.randbytes(3000), self.files[name]
        with (self._own / name).open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), data, at)
            if self._random.random() < 0.2:
                os.fsync(file.fileno())
        content.extend(bytes(max(at - len(content), 0)))
        content[at : at + len(data)] = data

    def map(self) -> None:
        name = self._choose()
        content = self.files[name]
        if len(content) < 10:
            return
        at = self._random.randrange(len(content) - 5)
        with (self._own / name).open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            assert mapped[:] == content
            mapped[at : at + 5] = b"mmap!"
        content[at : at + 5] = b"mmap!"

    def truncate(self) -> None:
        name, size = self._choose(), self._random.randrange(70_000)
        os.truncate(self._own / name, size)
        content = self.files[name]
        content.extend(bytes(max(size - len(content), 0)))
        del content[size:]

    def punch(self) -> None:
        name, at = self._choose(), self._random.randrange(40_000)
        content = self.files[name]
        with (self._own / name).open("r+b") as file:
            try:
                fallocate(file.fileno(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, 5000)
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    raise
                return
        end = min(at + 5000, len(content))
        if end > at:
            content[at:end] = bytes(end - at)

    def copy(self) -> None:
        source, target = self._choose(), self._choose()
        if source == target:
            return
        with (self._own / source).open("rb") as old, (self._own / target).open("r+b") as new:
            done = os.copy_file_range(old.fileno(), new.fileno(), 4000, 100, 200)
        data, content = self.files[source][100 : 100 + done], self.files[target]
        if done:
            content.extend(bytes(max(200 - len(content), 0)))
            content[200 : 200 + done] = data

    def replace(self) -> None:
        source, target = self._choose(), self._choose()
        os.rename(self._own / source, self._own / target)
        self.files[target] = self.files.pop(source)

    def exchange(self) -> None:
        one, two = self._choose(), self._choose()
        paths = os.fsencode(self._own / one), os.fsencode(self._own / two)
        try:
            renameat2(-100, paths[0], -100, paths[1], RENAME_EXCHANGE)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            return  # the upper is on NFS
        self.files[one], self.files[two] = self.files[two], self.files[one]

    def make(self) -> None:
        name = self._new()
        (self._own / name).write_bytes(b"made")
        self.files[name] = bytearray(b"made")

    def make_without_a_name(self) -> None:
        name = self._new()
        if name in self.files:
            return
        try:
            fd = os.open(self._own, os.O_TMPFILE | os.O_RDWR, 0o600)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            return
        os.write(fd, b"unnamed")
        os.link(f"/proc/self/fd/{fd}", self._own / name, src_dir_fd=fd)
        os.close(fd)
        self.files[name] = bytearray(b"unnamed")

    def remove(self) -> None:
        name = self._choose()
        os.unlink(self._own / name)
        del self.files[name]

    def share(self, step: int) -> None:
        """A line for the common log, and a name of the common directory that comes and goes."""
        with (self._root / "shared/log").open("ab", buffering=0) as log:
            log.write(LINE % (self._number, step))
        name = self._root / "shared" / f"x{self._random.randrange(3)}"
        try:
            os.mkdir(name)
        except FileExistsError:
            try:
                os.rmdir(name)
            except FileNotFoundError:
                return  # another one was faster


def test_clients_at_once_find_their_files_and_share_whole_ones(union):
    def work(number: int) -> None:
        Client(union.path, number).run()

    children = []
    for number in range(CLIENTS):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work(number)
                status = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * CLIENTS
    lines = sorted((union.path / "shared/log").read_bytes().splitlines(keepends=True))
    expected = sorted(LINE % (number, step) for number in range(CLIENTS) for step in range(STEPS))
    assert lines == expected
    assert set(os.listdir(union.path / "shared")) <= {"log", "x0", "x1", "x2"}
    assert (union.lower / "shared/log").read_bytes() == b""
