"""In the guest, as an ordinary user: `rootless run` over the guest's own root, within limits."""

import os
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from harness import check, main, measurement, wait_until

EAT = "b = bytearray(80 << 20)"
FORKS = """
import os, time
made = 0
try:
    while made < 30:
        if os.fork() == 0:
            time.sleep(60)
        made += 1
except OSError:
    pass
os._exit(made)
"""
WRITE = """
import os, time
start = time.monotonic()
with open("/var/tmp/written", "wb") as file:
    file.write(os.urandom(1 << 20) * 3)
    os.fsync(file.fileno())
print("took", time.monotonic() - start)
"""


def run(*arguments, limits=(), image=None):
    of = [image] if image else ["--rootfs", "/"]
    return subprocess.run(
        [sys.executable, "-m", "rootless", "run", "--rm", *limits, *of, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def python(source, *limits):
    return run("python3", "-c", source, limits=limits)


def number(word, result):
    found = re.search(rf"{word} ([0-9.]+)", result.stdout)
    assert found, result
    return float(found[1])


def home_disk():
    device = os.stat("/home/alice").st_dev
    return Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name


@check
def container_runs_and_passes_its_status_on():
    start = time.monotonic()
    result = run("sh", "-c", "echo Hello World; id -u; exit 7")
    assert (result.returncode, result.stdout) == (7, "Hello World\n0\n"), result
    return f"{time.monotonic() - start:.1f} s"


@check
def container_out_of_memory_is_137_and_says_why():
    result = python(EAT, "-m", "48m")
    assert result.returncode == 137, result
    assert "memory" in result.stderr, result
    return result.stderr.strip()


@check
def container_sees_its_limits_as_its_own_root():
    result = run(
        "sh",
        "-c",
        "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max /proc/self/cgroup; nproc",
        limits=("-m", "64m", "--cpus", "0.5", "--pids-limit", "20", "--cpuset-cpus", "1"),
    )
    assert result.stdout.split() == ["67108864", "50000", "100000", "20", "0::/", "1"], result


@check
def container_cannot_fork_beyond_its_limit():
    result = python(FORKS, "--pids-limit", "8")
    assert 0 < result.returncode < 8, result
    return f"{result.returncode} forks"


@measurement
def container_writes_through_the_union_at_its_rate():
    # Without syncs the writes would only reach the page cache.
    limits = ("--device-write-bps", f"/dev/{home_disk()}:512kb", "--storage-opt", "sync=always")
    took = number("took", python(WRITE, *limits))
    # Unlimited it takes one to two seconds there.
    assert took > 5, took
    return f"3 MiB in {took:.1f} s"


@check
def limit_that_cannot_be_kept_starts_nothing():
    result = run("true", limits=("--cpuset-cpus", "6"))
    assert result.returncode == 125, result
    assert "requested CPUs are not available" in result.stderr, result


@check
def commit_freezes_the_container_and_lets_it_go_on():
    # The image is a root of links into the guest's /usr, which is mounted there.
    with tarfile.open("/var/tmp/root.tar", "w") as archive:
        for name in ("bin", "lib", "lib64"):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, f"usr/{name}"
            archive.addfile(member)
        member = tarfile.TarInfo("usr")
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(member)
    engine = [sys.executable, "-m", "rootless"]
    subprocess.run([*engine, "import", "/var/tmp/root.tar", "links"], check=True, timeout=300)
    count = "i=0; while :; do i=$((i + 1)); echo $i >>/n; done"
    options = ["--rm", "--name", "counting", "-m", "64m", "-v", "/usr:/usr:ro"]
    counting = subprocess.Popen([*engine, "run", *options, "links", "sh", "-c", count])
    try:
        group = wait_until(lambda: next(iter(groups()), None))
        wait_until(lambda: "populated 1" in (group / "cgroup.events").read_text())
        time.sleep(2)
        commit = subprocess.Popen([*engine, "commit", "counting", "counted"])
        was_frozen = False
        while commit.poll() is None:
            was_frozen |= "frozen 1" in (group / "cgroup.events").read_text()
        assert commit.returncode == 0
        assert was_frozen
        assert "frozen 0" in (group / "cgroup.events").read_text()
        before = cpu_seconds(group)
        wait_until(lambda: cpu_seconds(group) > before)
        seen = run("cat", "/n", limits=("-v", "/usr:/usr:ro"), image="counted")
        # It may have been stopped in the midst of a line.
        numbers = [int(line) for line in seen.stdout.split()[:-1]]
        assert numbers == list(range(1, len(numbers) + 1)), seen
        return f"frozen at {len(numbers)}"
    finally:
        counting.terminate()
        counting.wait(300)


def groups():
    """The control groups that containers' processes are in."""
    return [path for path in Path("/sys/fs/cgroup").rglob("rootless-*/container") if path.is_dir()]


def cpu_seconds(group):
    return int(re.search(r"usage_usec (\d+)", (group / "cpu.stat").read_text())[1])


@check
def nothing_is_left_of_ended_containers():
    left = [str(p) for p in Path("/sys/fs/cgroup").rglob("rootless-*") if p.is_dir()]
    assert left == [], left


main()
