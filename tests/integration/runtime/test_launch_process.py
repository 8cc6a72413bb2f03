"""The process that is started: who it is, what it is given, how it ends."""

import fcntl
import os
import select
import signal
import struct
import termios
from pathlib import Path

import pytest

from rootless.errors import (
    CommandNotExecutableError,
    CommandNotFoundError,
    HostSupportError,
    LaunchError,
)
from rootless.runtime.parent import LaunchArgs, Stdio, launch
from rootless.runtime.rootfs import BindRootfs
from tests.integration.runtime.conftest import BOUND, ID, ended
from tests.support.processes import own_children

pytestmark = pytest.mark.needs("userns", "busybox")


@pytest.mark.parametrize("status", [0, 3, 125, 255])
def test_launch_passes_the_exit_status_on(box, status):
    assert box.sh(f"exit {status}").status == status


def test_launch_killed_command_is_128_and_the_signal(box):
    assert box.sh("kill -KILL $$", init=True).status == 137


@pytest.mark.parametrize(
    ("command", "error", "text"),
    [
        ("no-such", CommandNotFoundError, 'exec: "no-such": executable file not found in $PATH'),
        ("/no/such", CommandNotFoundError, 'exec: "/no/such": no such file or directory'),
        ("/etc", CommandNotExecutableError, 'exec: "/etc": is a directory: permission denied'),
        ("/etc/passwd", CommandNotExecutableError, 'exec: "/etc/passwd": permission denied'),
    ],
)
def test_launch_bad_command_is_told_as_docker_does(box, command, error, text):
    with pytest.raises(error) as caught:
        box.run(command)
    assert caught.value.message == text


def test_launch_file_without_format_is_not_executable(own_box):
    path = own_box.root / "bin/garbage"
    path.write_text("\0\0\0\0")
    path.chmod(0o755)
    with pytest.raises(CommandNotExecutableError, match="exec format error"):
        own_box.run("garbage")


def test_launch_missing_command_under_init_is_told(box):
    with pytest.raises(CommandNotFoundError):
        box.run("no-such", init=True)


def test_launch_environment_has_dockers_defaults(box):
    result = box.run("env", env=("A=1", "EMPTY="))
    assert set(result.out.splitlines()) == {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        f"HOSTNAME={ID[:12]}",
        "HOME=/root",
        "A=1",
        "EMPTY=",
    }


@pytest.mark.needs("subuid")
def test_launch_user_by_name_brings_groups_and_home(box):
    result = box.sh("id -u; id -g; id -G; echo $HOME; umask", user="worker", group_add=("daemon",))
    # setgroups(2) sorts them.
    assert result.out.split() == ["1000", "1000", "1000", "1", "50", "/home/worker", "0022"]


@pytest.mark.needs("subuid")
def test_launch_user_with_group_has_no_others(box):
    assert box.sh("id -u; id -G", user="1000:staff").out.split() == ["1000", "50"]


def test_launch_unknown_user_is_refused(box):
    with pytest.raises(LaunchError, match="unable to find user nobody-here: no matching entries"):
        box.run("true", user="nobody-here")


@pytest.mark.needs("subuid")
def test_launch_user_outside_the_map_is_refused(box):
    with pytest.raises(LaunchError, match="uid 2000000 is not in the id map"):
        box.run("true", user="2000000")


def test_launch_single_id_refuses_what_was_asked_for_by_name(box):
    with pytest.raises(LaunchError, match="the account has no subordinate ids"):
        box.run("true", single=True, user="worker")
    with pytest.raises(HostSupportError, match="group-add staff"):
        box.run("true", single=True, group_add=("staff",))


def test_launch_single_id_pretends_ownership(box):
    result = box.sh(
        "touch /tmp/f; chown 5:5 /tmp/f && stat -c %u:%g /tmp/f; mknod /tmp/n c 1 3 && echo made",
        single=True,
        chown="pretend",
        tmpfs=("/tmp",),
    )
    assert result.out.split() == ["0:0", "made"], result.err


def test_launch_limits_umask_and_oom_score(box):
    result = box.sh(
        "ulimit -Sn; ulimit -Hn; umask; cat /proc/self/oom_score_adj",
        ulimit=("nofile=100:200",),
        umask="0077",
        oom_score_adj=300,
    )
    assert result.out.split() == ["100", "200", "0077", "300"]


def test_launch_sysctl_is_of_the_container(box):
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    result = box.sh("cat /proc/sys/net/ipv4/ip_forward", sysctl=("net.ipv4.ip_forward=1",))
    assert result.out == "1\n"
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before


def test_launch_names_and_loopback(box):
    result = box.sh(
        "hostname; cat /etc/hostname; grep db /etc/hosts; ip -o addr show lo | head -n 1",
        hostname="box",
        add_host=("db:10.1.2.3",),
    )
    lines = result.out.splitlines()
    assert lines[:3] == ["box", "box", "10.1.2.3\tdb"]
    assert "127.0.0.1" in lines[3]


def test_launch_dev_is_fresh_and_usable(box):
    result = box.sh(
        "echo x > /dev/null && head -c 4 /dev/zero | wc -c; stat -c %a /dev; ls -l /dev/fd; "
        "df -k /dev/shm | tail -n 1; stat -c %t /dev/ptmx -L",
        shm_size="2m",
    )
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    assert lines[:2] == ["4", "755"]
    assert lines[2].endswith("/dev/fd -> /proc/self/fd")
    assert lines[3].split()[1] == "2048"
    assert lines[4] == "5"


def test_launch_working_directory_is_made(box):
    assert box.run("pwd", workdir="/tmp/new/deep").out == "/tmp/new/deep\n"


def test_launch_working_directory_has_its_mode_whatever_the_umask(box):
    result = box.sh(
        "stat -c %a /tmp/closed /tmp/closed/deep", umask="0077", workdir="/tmp/closed/deep"
    )
    assert result.out == "755\n755\n"


def test_launch_standard_streams_may_be_swapped(box):
    """The caller's descriptors for 1 and 2 the other way round end where they were given."""
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    process = box.start("sh", "-c", "echo o; echo e >&2", stdio=Stdio(0, err_write, out_write))
    os.close(out_write)
    os.close(err_write)
    assert ended(process) == 0
    with open(out_read, "rb") as out, open(err_read, "rb") as err:
        assert (out.read(), err.read()) == (b"e\n", b"o\n")


@pytest.mark.needs("subuid")
def test_launch_ordinary_user_can_reopen_its_stdout(box):
    read, write = os.pipe()
    process = box.start(
        "sh", "-c", "echo again > /dev/stdout", stdio=Stdio(0, write, write), user="worker"
    )
    os.close(write)
    assert ended(process) == 0
    with open(read, "rb") as out:
        assert out.read() == b"again\n"


def test_launch_terminal_is_the_containers(box):
    process = box.start(
        "sh",
        "-c",
        "tty; stty size; ls -l /dev/console | wc -l; test -t 0 && echo yes",
        stdio=None,
        tty=True,
    )
    assert process.console is not None
    output = b""
    while True:
        try:
            data = os.read(process.console, 4096)
        except OSError:
            break  # EIO: the last holder of the other side is gone
        if not data:
            break
        output += data
    assert ended(process) == 0
    os.close(process.console)
    assert output.decode().split() == ["/dev/pts/0", "33", "77", "1", "yes"]


def test_launch_terminal_interrupts_and_resizes(box):
    process = box.start(
        "sh",
        "-c",
        "trap 'stty size; exit 9' INT; echo ready; while :; do sleep 0.05; done",
        stdio=None,
        tty=True,
    )
    console = process.console
    output = b""
    while b"ready" not in output:
        output += os.read(console, 4096)
    fcntl.ioctl(console, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 132, 0, 0))
    os.write(console, b"\x03")
    while b"40 132" not in output:
        output += os.read(console, 4096)
    assert ended(process) == 9
    os.close(console)


def test_init_reaps_what_is_left_behind(box):
    script = """
        sh -c 'sleep 0.1 & exec true'
        i=0
        while [ $i -lt 100 ]; do
            set -- /proc/[0-9]*
            [ $# -le 2 ] && exit 0
            i=$((i + 1)); sleep 0.05
        done
        cat /proc/[0-9]*/stat; exit 1
    """
    assert box.sh(script, init=True).status == 0


def test_init_forwards_signals_and_passes_the_status(box):
    read, write = os.pipe()
    process = box.start(
        "sh",
        "-c",
        "trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done",
        stdio=Stdio(0, write, write),
        init=True,
    )
    os.close(write)
    with open(read, "rb") as out:
        assert out.readline() == b"ready\n"
        signal.pidfd_send_signal(process.pidfd, signal.SIGTERM)
        assert ended(process) == 42


def test_init_program_cannot_be_reached_from_inside(box):
    result = box.sh("readlink /proc/1/exe; cat /proc/1/environ; ls /proc/1/fd", init=True)
    assert result.out == ""
    assert result.err.count("Permission denied") >= 2


def test_launch_container_dies_with_its_monitor(box):
    """Killed without a chance to clean up, as by the out-of-memory killer."""
    read, write = os.pipe()
    monitor = os.fork()
    if monitor == 0:
        try:
            process = box.start("sleep", "1000", stdio=Stdio(0, 1, 2))
            os.write(write, b"%d" % process.pid)
            signal.pause()
        finally:
            os._exit(1)
    os.close(write)
    pid = int(os.read(read, 100))
    pidfd = os.pidfd_open(pid)
    os.kill(monitor, signal.SIGKILL)
    os.waitpid(monitor, 0)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(BOUND * 1000), "the container outlived its monitor"
    os.close(pidfd)
    os.close(read)


def test_launch_failed_step_leaves_nothing(box):
    spec, maps = box.spec("true")
    spec["mounts"].append(
        {"destination": "/x", "type": "bind", "source": "/no/such/device", "options": ["bind"]}
    )
    before = own_children()
    with pytest.raises(LaunchError, match="open the bind source /no/such/device"):
        launch(
            LaunchArgs(
                spec=spec,
                bundle="/",
                rootfs=BindRootfs(str(box.root)),
                id_maps=maps,
                stdio=Stdio(0, 1, 2),
            )
        )
    assert own_children() <= before
