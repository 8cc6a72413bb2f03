"""In the guest, as an ordinary user: does the kernel keep the limits that the engine sets?

The engine's own control groups, with processes born in them: no container, no file system.
"""

import ctypes
import mmap
import os
import signal
import struct
import time
from pathlib import Path

from harness import check, elapsed, main, measurement, wait_until

from rootless.cgroups import delegation, stats
from rootless.cgroups.devices import block_device_number
from rootless.cgroups.hierarchy import observe
from rootless.cli.grammar import parse
from rootless.cli.run.command import RUN
from rootless.cli.run.values import options_of
from rootless.errors import HostSupportError, RootlessError, UsageError
from rootless.spec.resources import make_resources

HOME = Path("/home/alice")
SYS_CLONE3, CLONE_INTO_CGROUP = 435, 0x200000000
libc = ctypes.CDLL(None, use_errno=True)


def limits_of(flags):
    """The limits of `run`'s flags, written as keyword arguments."""
    words = []
    for name, value in flags.items():
        each = value if isinstance(value, tuple) else (value,)
        words += [f"--{name.replace('_', '-')}={text}" for text in each]
    parsed = parse(RUN, [*words, "image"], "rootless run")
    return options_of(parsed, os.environ, os.getcwd).limits


class Container:
    """A control group made as `run` makes it, and processes born in it."""

    number = 0

    def __init__(self, **flags):
        Container.number += 1
        asked = make_resources(
            limits_of(flags), cpu_count=os.cpu_count(), device_number=block_device_number
        )
        # Making a group moves the process that makes it: the monitor, in a real container.
        name = f"{Container.number:08}{os.getpid()}"
        self.group = delegation.create(observe(os.environ), name, asked, [os.getpid()])
        assert self.group is not None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.group.kill()
        wait_until(lambda: not self.group.populated)
        assert self.group.remove(), f"{self.group.outer} could not be removed"

    def spawn(self, function):
        """clone3(2) into the container's group; the child exits 0 unless it says otherwise."""
        arguments = struct.pack(
            "<11Q",
            CLONE_INTO_CGROUP,
            0,
            0,
            0,
            signal.SIGCHLD,
            0,
            0,
            0,
            0,
            0,
            self.group.directory_fd,
        )
        pid = libc.syscall(SYS_CLONE3, ctypes.c_char_p(arguments), len(arguments))
        if pid < 0:
            raise OSError(ctypes.get_errno(), "clone3")
        if pid == 0:
            try:
                function()
                os._exit(0)
            except BaseException as error:
                os.write(2, f"# child: {error!r}\n".encode())
                os._exit(99)
        return pid

    def run(self, function):
        """The status as a container engine reports it."""
        return status_of(self.spawn(function))


def status_of(pid):
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def burn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def eat(megabytes):
    bytearray(megabytes << 20)


def direct(path, megabytes, *, write):
    """Reads or writes past the page cache, 64 KiB at a time."""
    flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
    descriptor = os.open(path, flags | os.O_DIRECT, 0o600)
    block = mmap.mmap(-1, 65536)
    for position in range(0, megabytes << 20, 65536):
        if write:
            os.pwrite(descriptor, block, position)
        else:
            os.preadv(descriptor, [block], position)
    os.close(descriptor)


def home_disk():
    device = HOME.stat().st_dev
    name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
    return f"/dev/{name}"


def refusal(kind=RootlessError, **flags):
    try:
        Container(**flags)
    except kind as error:
        return error.message
    raise AssertionError(f"{flags} was not refused")


@check
def memory_limit_kills_and_is_counted():
    with Container(memory="32m", memory_swap="32m") as container:
        status, kills = container.run(lambda: eat(80)), container.group.oom_kills()
        assert (status, kills) == (137, 1), (status, kills)
        peak = stats.usage(container.group).memory_peak
        assert peak is None or peak <= 32 << 20, peak
        return f"exit status {status}, {kills} killed, peak {peak}"


@check
def memory_within_the_limit_is_given():
    with Container(memory="64m") as container:
        status = container.run(lambda: eat(16))
        assert (status, container.group.oom_kills()) == (0, 0), status
        assert stats.usage(container.group).memory_limit == 64 << 20


@check
def memory_of_the_server_is_bounded_with_the_containers():
    for memory, expected in (("16m", 64 << 20), ("256m", 256 << 20)):
        with Container(memory=memory) as container:
            high = Path(container.group.outer, "server/memory.high").read_text().strip()
            assert high == str(expected), high


@check
def memory_reservation_protects_both_groups():
    with Container(memory_reservation="16m") as container:
        low = [
            Path(p, "memory.low").read_text().strip()
            for p in (container.group.outer, container.group.path)
        ]
        assert low == [str(16 << 20)] * 2, low


@check
def pids_limit_stops_forks():
    def forks():
        made = 0
        try:
            while made < 20:
                if os.fork() == 0:
                    time.sleep(60)
                made += 1
        except OSError:
            os._exit(made)

    with Container(pids_limit=5) as container:
        status = container.run(forks)
        assert status == 4, status
        return f"{status} forks beside the first"


@measurement
def cpus_bound_processor_time():
    with Container(cpus="0.2") as container:
        took = elapsed(lambda: container.run(lambda: burn(2)))
        use = stats.usage(container.group)
        share = use.cpu_usec / 1e6 / took
        assert share < 0.3, share
        assert use.cpu_throttled_usec > 0
        return f"{share:.2f} of a processor"


@check
def cpu_quota_and_period_are_written():
    with Container(cpu_period=50_000, cpu_quota=20_000) as container:
        seen = Path(container.group.path, "cpu.max").read_text().strip()
        assert seen == "20000 50000", seen


@check
def cpuset_confines_to_a_processor():
    with Container(cpuset_cpus="1") as container:
        status = container.run(lambda: os._exit(10 + sum(os.sched_getaffinity(0))))
        assert status == 11, status


@check
def cpuset_of_a_missing_processor_is_refused():
    message = refusal(UsageError, cpuset_cpus="7")
    assert "requested CPUs are not available: requested 7, available: 0-1" in message, message


@check
def cpu_shares_become_weights():
    with Container(cpu_shares=2048) as container:
        seen = Path(container.group.outer, "cpu.weight").read_text().strip()
        assert seen == "174", seen


@measurement
def write_rate_of_a_device_is_kept():
    disk, file = home_disk(), HOME / "written"
    free = elapsed(lambda: direct(file, 6, write=True))
    with Container(device_write_bps=(f"{disk}:2mb",)) as container:
        took = elapsed(lambda: container.run(lambda: direct(file, 6, write=True)))
        assert took > 2 > free, (took, free)
        (use,) = [d for d in stats.usage(container.group).devices if d.write_bytes]
        assert use.write_bytes >= 6 << 20, use
        return f"6 MiB in {took:.1f} s, free {free:.1f} s"


@measurement
def read_rate_of_a_device_is_kept():
    disk, file = home_disk(), HOME / "written"
    with Container(device_read_bps=(f"{disk}:2mb",)) as container:
        took = elapsed(lambda: container.run(lambda: direct(file, 6, write=False)))
        assert took > 2, took
        return f"6 MiB in {took:.1f} s"


@measurement
def read_operations_of_a_device_are_kept():
    disk, file = home_disk(), HOME / "written"
    with Container(device_read_iops=(f"{disk}:20",)) as container:
        took = elapsed(lambda: container.run(lambda: direct(file, 4, write=False)))
        assert took > 2, took
        return f"64 reads in {took:.1f} s"


@measurement
def what_the_server_writes_for_the_container_is_kept_too():
    disk, file = home_disk(), HOME / "served"
    with Container(device_write_bps=(f"{disk}:2mb",)):
        # Making the group has put this process where the file server would be.
        took = elapsed(lambda: direct(file, 6, write=True))
        assert took > 2, took
        return f"6 MiB in {took:.1f} s"


@measurement
def block_weight_favours_the_heavier():
    file = HOME / "written"

    def reader(report):
        def read():
            end, count = time.monotonic() + 2, 0
            descriptor = os.open(file, os.O_RDONLY | os.O_DIRECT)
            block = mmap.mmap(-1, 131072)
            while time.monotonic() < end:
                os.preadv(descriptor, [block], count % 40 * 131072)
                count += 1
            os.write(report, struct.pack("<I", count))

        return read

    def compete():
        reports = [os.pipe(), os.pipe()]
        with Container(blkio_weight=100) as light:
            # A scope without a process ends, and making the second takes this one out of the first.
            pids = [light.spawn(reader(reports[0][1]))]
            with Container(blkio_weight=800) as heavy:
                pids.append(heavy.spawn(reader(reports[1][1])))
                assert [status_of(pid) for pid in pids] == [0, 0]
                written = Path(heavy.group.outer, "io.bfq.weight").read_text().strip()
        assert written == "default 800", written
        return [struct.unpack("<I", os.read(report[0], 4))[0] for report in reports]

    lighter, heavier = compete()
    assert heavier > 1.5 * lighter, (lighter, heavier)
    return f"{lighter} reads against {heavier}"


@check
def partition_or_file_is_no_device_to_limit():
    assert "not a block device" in refusal(UsageError, device_read_bps=("/dev/null:1mb",))
    assert "no such device" in refusal(UsageError, device_read_bps=("/dev/nothing:1mb",))


@measurement
def freeze_stops_and_thaw_goes_on():
    with Container(cpus="1") as container:
        pid = container.spawn(lambda: burn(60))
        container.group.freeze()
        wait_until(lambda: container.group.frozen)
        before = stats.usage(container.group).cpu_usec
        time.sleep(0.3)
        inner = Path(container.group.path, "cpu.stat").read_text()
        time.sleep(0.3)
        assert Path(container.group.path, "cpu.stat").read_text() == inner
        container.group.thaw()
        wait_until(lambda: stats.usage(container.group).cpu_usec > before)
        container.group.kill()
        assert status_of(pid) == 137


@check
def kill_reaches_every_process():
    def family():
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                time.sleep(60)
        time.sleep(60)

    with Container(pids_limit=50) as container:
        pid = container.spawn(family)
        wait_until(lambda: len(container.group.processes()) == 4)
        took = elapsed(
            lambda: (
                container.group.kill(),
                status_of(pid),
                wait_until(lambda: not container.group.populated),
            )
        )
        return f"4 processes in {took * 1000:.0f} ms"


@check
def adopted_process_is_limited():
    with Container(pids_limit=10) as container:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        container.group.add_process(pid)
        assert container.group.processes() == [pid]
        container.group.kill()
        assert status_of(pid) == 137


@check
def removal_takes_groups_that_the_container_made():
    container = Container(pids_limit=10)
    Path(container.group.path, "mine", "deeper").mkdir(parents=True)
    assert container.group.remove()
    assert not Path(container.group.path).exists()
    container.group.kill()
    assert container.group.processes() == []
    assert container.group.remove()


@check
def groups_of_killed_monitors_are_removed():
    if Path("/run/systemd/system").exists():
        return
    base = Path("/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service")
    old, young = base / "rootless-old", base / "rootless-young"
    for group in (old, young):
        (group / "container").mkdir(parents=True)
    os.utime(old, (0, 0))
    with Container(pids_limit=10):
        assert not old.exists()
        assert young.exists()
    (young / "container").rmdir()
    young.rmdir()


@check
def systemds_own_socket_will_do():
    private = Path("/run/user/1000/systemd/private")
    if not private.exists():
        return
    scope = delegation.Scope(observe(os.environ), str(private), timeout=10)
    group = scope.create(f"private-{os.getpid()}", [os.getpid()])
    assert "pids" in group.controllers
    assert group.remove()


@check
def group_without_limits_is_cheap():
    took = []
    for number in range(5):
        start = time.perf_counter()
        group = delegation.create(
            observe(os.environ), f"free{number}-{os.getpid()}", {}, [os.getpid()]
        )
        took.append(time.perf_counter() - start)
        assert group is not None
        group.remove()
    return f"{min(took) * 1000:.0f} to {max(took) * 1000:.0f} ms, emulated"


@check
def what_cannot_be_kept_is_refused_by_name():
    message = refusal(HostSupportError, oom_kill_disable=True)
    assert message.startswith("--oom-kill-disable cannot be enforced"), message
    environ = {**os.environ, "SLURM_JOB_ID": "1", "XDG_RUNTIME_DIR": "/nowhere"}
    view = observe(environ)
    assert view.batch_job
    assert not any(d.driver == "systemd" for d in delegation.candidates(view, frozenset()))


@check
def facts_name_the_driver_and_all_controllers():
    facts = delegation.facts(os.environ)
    expected = "systemd" if Path("/run/systemd/system").exists() else "cgroupfs"
    assert (facts.version, facts.driver) == ("v2", expected), facts
    assert facts.controllers == ("cpu", "cpuset", "io", "memory", "pids"), facts
    return f"{facts.driver}, {' '.join(facts.controllers)}"


main()
