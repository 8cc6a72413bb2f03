"""The file server of a container is killed, and another one goes on: no program in the container sees an
error, and nothing is lost."""

from __future__ import annotations

import os
import random
import signal

import pytest

from tests.support.file_servers import kill_now_and_then, server_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "fuse-resend")


def kill_server(rootless):
    """Kill it, and wait until there is another."""
    before = server_of(rootless)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: server_of(rootless) != before)


UNTAR = """
import os, sys, tarfile
with tarfile.open("/lib.tar", "w") as tar:
    names = sorted(os.listdir(os.path.dirname(os.__file__)))
    for name in names:
        if name.endswith(".py"):
            tar.add(os.path.dirname(os.__file__) + "/" + name, "lib/" + name)
for turn in range(3):
    os.mkdir(f"/out{turn}")
    assert os.system(f"tar -x -C /out{turn} -f /lib.tar") == 0
    assert os.system(f"tar -d -C /out{turn} -f /lib.tar > /dev/null") == 0
"""

MAKE = """
import os, subprocess
os.makedirs("/src")
for n in range(60):
    open(f"/src/f{n}.in", "w").write(str(n) * 500)
rule = "sh -c 'cat $< > $@.tmp && mv $@.tmp $@'"
names = " ".join(f"f{n}.out" for n in range(60))
open("/src/Makefile", "w").write(f"all: {names}\\n\\tcat {names} > all\\n%.out: %.in\\n\\t{rule}\\n")
expected = "".join(str(n) * 500 for n in range(60))
for turn in range(4):
    for n in range(60):
        if os.path.exists(f"/src/f{n}.out"):
            os.unlink(f"/src/f{n}.out")
        path = f"/src/f{n}.out"
        with open(path + ".tmp", "w") as file:
            file.write(open(f"/src/f{n}.in").read())
        os.rename(path + ".tmp", path)
        os.link(path, path + ".link")
        os.unlink(path + ".link")
        os.mkdir(path + ".d")
        os.rename(path + ".d", path + ".e")
        os.rmdir(path + ".e")
    assert "".join(open(f"/src/f{n}.out").read() for n in range(60)) == expected
"""

SQLITE = """
import sqlite3
db = sqlite3.connect("/db.sqlite", timeout=60)
db.execute("create table t(a, b)")
db.commit()
for n in range(400):
    db.execute("insert into t values(?, ?)", (n, "x" * 100))
    db.commit()
assert db.execute("select count(*) from t").fetchone() == (400,)
assert db.execute("pragma integrity_check").fetchone() == ("ok",)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_programs_see_nothing_of_ten_kills(rootless, tmp_path, seed):
    choices = random.Random(seed)
    for name, text in (("untar", UNTAR), ("make", MAKE), ("sqlite", SQLITE)):
        (tmp_path / f"{name}.py").write_text(text)
    script = (
        'for w in untar make sqlite; do python3 /v/$w.py & p="$p $w=$!"; done; '
        "for each in $p; do wait ${each#*=}; echo ${each%%=*} $?; done"
    )
    running = rootless.popen(
        "run", "--name", "c1", "-v", f"{tmp_path}:/v:ro", "--rootfs", "/", "sh", "-c", script
    )
    wait_until(lambda: rootless("exec", "c1", "test", "-e", "/db.sqlite").status == 0)
    kill_now_and_then(running, lambda: kill_server(rootless), choices)
    output, errors = running.communicate(timeout=120)
    assert (output, errors) == (b"untar 0\nmake 0\nsqlite 0\n", b"")
    assert running.returncode == 0


HELD = """
import mmap, os, sys
def wait():
    print("ready", flush=True)
    sys.stdin.readline()
def make(name, data):
    fd = os.open(name, os.O_CREAT | os.O_RDWR)
    os.write(fd, data)
    return fd
os.makedirs("/w/gone/below")
os.chdir("/w")
unlinked, replaced, unnamed = make("u", b"u" * 9000), make("r", b"r"), os.open(".", os.O_TMPFILE | os.O_RDWR)
linked = make("l", b"l")
os.link("l", "l2"); os.unlink("l")
os.unlink("u")
make("r2", b"new"); os.rename("r2", "r")
os.write(unnamed, b"t" * 100)
image = os.open("/etc/services", os.O_RDONLY)
first = os.pread(image, 100, 0)
mapped = mmap.mmap(make("m", b"m" * 8192), 8192)
mapped[0:4] = b"MMMM"
os.unlink("m")
os.mkdir("many")
for n in range(3000):
    open(f"many/{n}", "w").close()
listing = os.scandir("many")
names = [next(listing).name for _ in range(10)]
directory = os.open("gone", os.O_PATH)
moved = os.open("gone/below", os.O_PATH)
os.rename("gone/below", "below")
os.rmdir("gone")
os.mkfifo("fifo"); fifo = os.open("fifo", os.O_RDWR); os.unlink("fifo")
for name in [*names[:5]]:
    os.unlink("many/" + name)
wait()
assert os.pread(unlinked, 9000, 0) == b"u" * 9000
os.pwrite(unlinked, b"v", 8999); os.fsync(unlinked)
assert os.pread(unlinked, 9000, 0) == b"u" * 8999 + b"v"
assert os.fstat(unlinked).st_nlink == 0
assert os.pread(replaced, 9, 0) == b"r" and open("r").read() == "new"
assert os.pread(unnamed, 200, 0) == b"t" * 100
os.link(f"/proc/self/fd/{unnamed}", "named", dst_dir_fd=os.open(".", os.O_RDONLY))
assert open("named").read() == "t" * 100
assert os.pread(linked, 9, 0) == b"l" == open("l2", "rb").read()
assert os.pread(image, 100, 0) == first
mapped[4:8] = b"NNNN"; mapped.flush()
assert mapped[0:8] == b"MMMMNNNN"
assert os.stat(directory).st_nlink == 0
assert os.stat(moved).st_ino == os.stat("below").st_ino
os.mkdir("below/more"); assert os.listdir("below") == ["more"]
names += [entry.name for entry in listing]
assert len(names) == len(set(names)) == 3000, len(names)
assert os.fstat(fifo).st_nlink == 0
wait()
os.close(unlinked)
assert sorted(os.listdir("many")) == sorted(set(map(str, range(3000))) - set(names[:5]))
print("done", flush=True)
"""


def test_open_and_unlinked_files_directories_and_listings_survive(rootless, tmp_path):
    (tmp_path / "held.py").write_text(HELD)
    running = rootless.popen(
        "run", "-i", "--name", "c1", "-v", f"{tmp_path}:/v:ro", "--rootfs", "/",
        "python3", "/v/held.py",
    )  # fmt: skip
    for _ in range(2):
        assert running.stdout.readline() == b"ready\n", running.stderr.read()
        kill_server(rootless)
        kill_server(rootless)
        running.stdin.write(b"\n")
        running.stdin.flush()
    output, errors = running.communicate(timeout=120)
    assert (output, errors, running.returncode) == (b"done\n", b"", 0)


def test_limit_is_counted_on(rootless):
    script = "head -c 3000000 /dev/zero > /f; echo ready; read x; df -Pk / | tail -1; rm /f; df -Pk / | tail -1"
    running = rootless.popen(
        "run", "-i", "--name", "c1", "--storage-opt", "size=8M", "--rootfs", "/", "sh", "-c", script
    )
    assert running.stdout.readline() == b"ready\n"
    kill_server(rootless)
    output, _ = running.communicate(b"\n", timeout=120)
    full, empty = (line.split() for line in output.splitlines())
    assert full[1:3] == [b"8192", b"2936"]
    assert empty[1:3] == [b"8192", b"4"]
