"""What a container may say to the recorder of owners, whether by mistake or on purpose: it answers as the kernel would,
goes on, and changes nothing that the caller could not have named.

The programs are Python on the host's own tree; an owner is read from the container's upper.
"""

import os
import re
import signal
from pathlib import Path

import pytest

from tests.support.processes import children_of
from tests.support.recorders import PRELUDE, ProgramsInC1, is_recorder
from tests.support.rootless import Rootless
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "nosub", "fuse")

only_x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")


@pytest.fixture
def box(rootless: Rootless) -> ProgramsInC1:
    return ProgramsInC1(rootless)


@only_x86_64
def test_pointers_that_lead_nowhere(box):
    shown = box.run("""
print(call(CHOWN, 0, 1, 1), call(CHOWN, 8, 1, 1), call(CHOWN, -1, 1, 1), call(CHOWN, 1 << 63, 1, 1))
page = mmap.PAGESIZE
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
at = libc.mmap(None, 2 * page, 3, 0x22, -1, 0)
libc.munmap(ctypes.c_void_p(at + page), page)
touch("f")
for text in (b"/w/f" + bytes(1), b"/w/f"):  # up to the last byte that is mapped, and beyond
    ctypes.memmove(at + page - len(text), text, len(text))
    print(call(CHOWN, at + page - len(text), 5, 6))
""")
    assert shown.split() == ["EFAULT"] * 4 + ["0", "EFAULT"]
    assert box.owner("w/f") == (5, 6)


@only_x86_64
def test_paths_that_are_too_long_or_empty(box):
    shown = box.run("""
print(call(CHOWN, b"/" * 4095, 1, 1), call(CHOWN, b"/" * 4096, 1, 1), call(CHOWN, b"a" * 70000, 1, 1))
print(call(CHOWN, b"a" * 255, 1, 1), call(CHOWN, b"a" * 256, 1, 1), call(CHOWN, b"", 1, 1))
print(call(CHOWN, b"a/" * 2000, 1, 1), call(CHOWN, b"../" * 1300 + b"w", 5, 6))
os.symlink("l2", "l1"); os.symlink("l1", "l2"); os.symlink("x" * 4000, "long")
print(call(CHOWN, b"l1", 1, 1), call(CHOWN, b"long/x", 1, 1), call(LCHOWN, b"l1", 7, 8))
print(call(CHOWN, b"/proc/self/" + b"self/" * 50, 1, 1))
""")
    assert shown.split() == [
        *("0", "ENAMETOOLONG", "ENAMETOOLONG"),
        *("ENOENT", "ENAMETOOLONG", "ENOENT"),
        *("ENOENT", "0"),
        *("ELOOP", "ENAMETOOLONG", "0"),
        "ENOENT",
    ]
    assert box.owner("w") == (5, 6)
    assert box.owner("w/l1") == (7, 8)


@only_x86_64
def test_descriptors_of_all_kinds(box):
    shown = box.run("""
touch("f"); os.mkdir("d"); os.symlink("f", "s"); os.mkfifo("p")
f, d, o = os.open("f", 0), os.open("d", 0), os.open("f", os.O_PATH)
s = os.open("s", os.O_PATH | os.O_NOFOLLOW)
reader, writer = os.pipe(); end = socket.socket()
print(call(FCHOWN, f, 5, 6), call(FCHOWN, o, 1, 1), call(FCHOWN, 999, 1, 1), call(FCHOWN, -1, 1, 1))
print(call(FCHOWN, reader, 1, 1), call(FCHOWN, end.fileno(), 1, 1))
print(call(FCHOWNAT, s, b"", 7, 8, EMPTY), call(FCHOWNAT, d, b"", 9, 10, EMPTY), call(FCHOWNAT, d, b"", 1, 1, 0))
print(call(FCHOWNAT, d, b"../p", 11, 12, 0), call(FCHOWNAT, f, b"x", 1, 1, 0), call(FCHOWNAT, 999, b"x", 1, 1, 0))
print(call(FCHOWNAT, 999, b"/w/none", 1, 1, 0), call(FCHOWNAT, d, b".", 1, 1, 0x40))
os.unlink("f"); print(call(FCHOWN, f, 1, 1)); os.chdir("d"); os.rmdir("/w/d"); print(call(CHOWN, b"x", 1, 1))
""")
    assert shown.split() == [
        *("0", "EBADF", "EBADF", "EBADF"),
        *("0", "0"),
        *("0", "0", "ENOENT"),
        *("0", "ENOTDIR", "EBADF"),
        *("ENOENT", "EINVAL"),
        *("0", "ENOENT"),
    ]
    assert box.owner("w/s") == (7, 8)
    assert box.owner("w/p") == (11, 12)


def test_path_that_is_swapped_meanwhile_leads_to_one_of_the_two(box, tmp_path):
    outside = tmp_path / "outside"
    outside.touch()
    before = outside.stat()
    box.run(
        """
for name in "ab":
    os.mkdir(name); touch(name + "/f")
os.mkdir("jail"); os.symlink("a", "l")
done = False
def swap():
    i = 0
    while not done:
        i += 1
        os.symlink(("a", "b", "/host", "../../../../../../host")[i % 4], "n"); os.rename("n", "l")
thread = threading.Thread(target=swap); thread.start()
names = set()
for i in range(1500):
    for path in ("l/f", "l/../l/f", "/w/l/f"):
        try:
            os.chown(path, 5, 6)
        except (FileNotFoundError, NotADirectoryError) as error:
            names.add(type(error).__name__)
done = True; thread.join()
""",
        *("-v", f"{tmp_path}:/host"),
    )
    assert box.owner("w/a/f") == (5, 6)
    assert box.owner("w/b/f") == (5, 6)
    after = outside.stat()
    assert (after.st_uid, after.st_gid, after.st_ctime_ns) == (
        before.st_uid,
        before.st_gid,
        before.st_ctime_ns,
    )
    assert os.listxattr(tmp_path) == os.listxattr(outside) == []


def test_directory_of_the_host_is_not_touched(box, tmp_path):
    file = tmp_path / "f"
    file.touch()
    changed = file.stat().st_ctime_ns
    box.run('os.chown("/host/f", 5, 6); os.chown("/host", 5, 6)', "-v", f"{tmp_path}:/host")
    assert os.listxattr(file) == []
    assert file.stat().st_ctime_ns == changed


def test_links_do_not_lead_out_of_the_callers_root(box):
    box.run("""
os.makedirs("jail/etc"); touch("jail/f"); touch("/w/f"); os.symlink("/w/f", "jail/abs"); os.symlink("../../f", "jail/rel")
touch("/f"); os.makedirs("jail/w"); touch("jail/w/f")
outside = os.open("/w", os.O_PATH)
pid = os.fork()
if pid == 0:
    os.chroot("jail"); os.chdir("/")
    os.chown("abs", 5, 6); os.chown("rel", 7, 8); os.chown("../../../f", 9, 10)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
""")
    assert box.owner("w/jail/w/f") == (5, 6)
    assert box.owner("w/jail/f") == (9, 10)
    assert box.owner("w/f") == box.owner("f") == (0, 0)


def test_threads_have_directories_of_their_own(box):
    program = """
os.makedirs("x"); touch("x/f"); touch("f")
def work():
    assert libc.unshare(0x200) == 0  # CLONE_FS
    os.chdir("x"); os.chown("f", 5, 6); os.chown("/proc/thread-self/cwd/f", -1, 7)
thread = threading.Thread(target=work); thread.start(); thread.join()
os.chown("/proc/self/cwd/f", 8, 9)
"""
    box.run(program, "--security-opt", "seccomp=unconfined")
    assert box.owner("w/x/f") == (5, 7)
    assert box.owner("w/f") == (8, 9)


def test_64_threads_and_processes_at_once(box):
    box.run("""
def work(n):
    for i in range(20):
        name = f"{n}-{i}"
        touch(name); os.chown(name, 1000 + n, i)
threads = [threading.Thread(target=work, args=(n,)) for n in range(64)]
for t in threads: t.start()
pids = []
for n in range(64, 96):
    pid = os.fork()
    if pid == 0:
        work(n); os._exit(0)
    pids.append(pid)
for t in threads: t.join()
assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
""")
    for n in range(96):
        for i in (0, 19):
            assert box.owner(f"w/{n}-{i}") == (1000 + n, i)


def test_callers_that_are_killed_and_interrupted(box):
    shown = box.run("""
touch("f")
for i in range(150):
    pid = os.fork()
    if pid == 0:
        while True:
            os.chown("f", i, i)
    pause(0.002); os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0)
signal.signal(signal.SIGALRM, lambda *_: None); signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
for i in range(2000):
    os.chown("f", 3000 + i, i)
signal.setitimer(signal.ITIMER_REAL, 0)
print("done")
""")
    assert shown == "done\n"
    assert box.owner("w/f") == (4999, 1999)


def test_namespace_below_pretends(box):
    shown = box.run(
        """
touch("f")
pid = os.fork()
if pid == 0:
    assert libc.unshare(0x10000000) == 0
    open("/proc/self/uid_map", "w").write("0 0 1")
    os.chown("f", 5, 6); print(os.stat("f").st_uid, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
""",
        "--security-opt",
        "seccomp=unconfined",
    )
    assert shown == "0\n"
    assert box.owner("w/f") == (0, 0)


def test_attribute_cannot_be_set_without_the_capability(box):
    box.run("""
touch("f")
try:
    os.setxattr("f", "security.rootless.owner", b"5:6")
except PermissionError:
    pass
else:
    raise SystemExit(1)
assert "security.rootless.owner" not in os.listxattr("f")
""")
    assert box.owner("w/f") == (0, 0)


def test_recorder_cannot_be_reached_from_the_container(box):
    box.run(
        """
import ctypes
touch("f"); os.chown("f", 5, 6)
for entry in os.listdir("/proc"):
    if entry.isdigit() and int(entry) != os.getpid():
        for path in ("mem", "root", "fd/0"):
            try:
                os.open(f"/proc/{entry}/{path}", os.O_RDWR if path == "mem" else os.O_RDONLY | os.O_NONBLOCK)
                comm = open(f"/proc/{entry}/comm").read().strip()
                theirs = os.readlink(f"/proc/{entry}/ns/user")
            except OSError:
                continue  # refused, or it has ended
            assert theirs != os.readlink("/proc/self/ns/user"), (entry, path, comm)
""",
        *("--pid", "host", "--privileged"),
    )


def test_container_with_a_stopped_recorder_ends_and_a_caller_can_be_killed(rootless, box):
    program = (
        PRELUDE
        + """
touch("f"); os.chown("f", 5, 6); touch("ready")
while not os.path.exists("/w/go"):
    pause(0.01)
pid = os.fork()
if pid == 0:
    touch("waits"); os.chown("f", 7, 8); os._exit(0)
while not os.path.exists("waits"):
    pause(0.01)
pause(0.2)
os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0); touch("killed")
os.chown("f", 9, 10)
"""
    )
    rootless(
        *("run", "-d", "--name", "c1", "--network", "none", "--rootfs", "/"),
        *("/usr/bin/python3", "-c", program),
    ).ok()
    upper = Path(
        rootless("inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", "c1").ok().stdout.strip()
    )
    wait_until((upper / "w/ready").exists)
    first = int(rootless("inspect", "-f", "{{.State.Pid}}", "c1").ok().stdout)
    found = re.search(r"PPid:\s+(\d+)", Path(f"/proc/{first}/status").read_text())
    assert found
    (recorder,) = filter(is_recorder, children_of(int(found[1])))
    os.kill(recorder, signal.SIGSTOP)
    rootless("exec", "--chown=pretend", "c1", "touch", "/w/go").ok()
    wait_until((upper / "w/killed").exists)
    rootless("kill", "c1").ok()
    wait_until(lambda: rootless("inspect", "-f", "{{.State.Running}}", "c1").stdout == "false\n")
    wait_until(lambda: not Path(f"/proc/{recorder}").exists())


def test_owner_that_a_file_has_already_is_set_as_any_other(box):
    shown = box.run("""
touch("a"); touch("b"); touch("c")
before = os.stat("a").st_ctime_ns
pause(0.05)
os.chown("a", 0, 0)
print(os.stat("a").st_ctime_ns > before)
os.chown("b", 5, 6); os.chown("b", 0, 0)
capability = bytes.fromhex("0100000200040000000000000000000000000000")
os.setxattr("c", "security.capability", capability); os.chmod("c", 0o4755)
os.chown("c", 0, 0)
print("security.capability" in os.listxattr("c"), oct(os.stat("c").st_mode))
""")
    assert shown == "True\nFalse 0o100755\n"
    assert box.owner("w/b") == (0, 0)
