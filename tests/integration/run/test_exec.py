"""`exec`: a further process in a running container, as docker's users expect it."""

import os
import signal
import subprocess
import sys

import pytest

from tests.support.terminal import (
    PROMPT,
    SHELL,
    SHELL_OPTIONS,
    runs_in_foreground,
    terminals,
    with_prompt,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")


@pytest.fixture
def container(rootless):
    """A running container of the host's own tree; more options of `run` may be given."""

    def start(*options, name="c1", command=("sleep", "1000")):
        process = rootless.popen("run", "--rm", "--name", name, *options, "--rootfs", "/", *command)
        wait_until(lambda: rootless("ps", "-q", "--filter", f"name={name}").stdout != "")
        wait_until(lambda: rootless("exec", name, "true").status == 0)
        return process

    return start


def test_command_is_in_the_container_with_its_variables_and_directory(rootless, container):
    container("-e", "A=1", "-w", "/usr", "--hostname", "here")
    done = rootless("exec", "-e", "B=2", "c1", "sh", "-c", "echo $A $B; pwd; hostname; echo $HOME")
    assert (done.stdout, done.stderr, done.status) == ("1 2\n/usr\nhere\n/root\n", "", 0)
    assert rootless("container", "exec", "-w", "/etc", "c1", "pwd").stdout == "/etc\n"


def test_it_joins_every_namespace_of_the_container(rootless, container):
    container("--network", "none")
    listed = "readlink /proc/self/ns/{}; readlink /proc/1/ns/{}"
    names = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
    script = "; ".join(listed.format(name, name) for name in names)
    lines = rootless("exec", "c1", "sh", "-c", script).ok().stdout.split()
    assert lines[::2] == lines[1::2]
    assert len(lines) == 2 * len(names)
    assert lines[0] != os.readlink("/proc/self/ns/user")
    assert int(rootless("exec", "c1", "sh", "-c", "echo $$").stdout) > 1


def test_it_joins_a_container_in_the_hosts_namespaces(rootless, container):
    container("--pid", "host", "--ipc", "host", "--uts", "host", "--cgroupns", "host")
    assert rootless("exec", "c1", "readlink", "/proc/self/ns/pid").stdout.strip() == os.readlink(
        "/proc/self/ns/pid"
    )


def test_it_sees_what_the_container_writes(rootless, container):
    container()
    rootless("exec", "c1", "sh", "-c", "echo new > /tmp/of-exec").ok()
    assert rootless("exec", "c1", "cat", "/tmp/of-exec").stdout == "new\n"
    assert not os.path.exists("/tmp/of-exec")


@pytest.mark.parametrize(
    "options", [(), ("--cap-drop", "ALL"), ("--security-opt", "no-new-privileges"), ("--init",)]
)
def test_confinement_is_that_of_the_container(rootless, container, options):
    container(*options)
    script = "grep -E '^(Cap|NoNew|Seccomp)' /proc/{}/status"
    first = rootless("exec", "c1", "sh", "-c", script.format("1")).ok().stdout
    own = rootless("exec", "c1", "sh", "-c", script.format("self")).ok().stdout
    if "--init" not in options:  # an init keeps nothing that it can do without
        assert own == first
    assert "Seccomp:\t2\n" in own


def test_limits_and_umask_are_those_of_the_container(rootless, container):
    container("--ulimit", "nofile=77:88", "--umask", "0027", "--oom-score-adj", "500")
    done = rootless(
        "exec", "c1", "sh", "-c", "ulimit -Sn; ulimit -Hn; umask; cat /proc/self/oom_score_adj"
    )
    assert done.stdout == "77\n88\n0027\n500\n"


def test_privileged_has_all_capabilities(rootless, container):
    container()
    script = "grep CapEff /proc/self/status"
    plain = rootless("exec", "c1", "sh", "-c", script).stdout.split()[1]
    privileged = rootless("exec", "--privileged", "c1", "sh", "-c", script).stdout.split()[1]
    assert int(plain, 16) == 0xA80425FB
    assert int(privileged, 16) & int(plain, 16) == int(plain, 16)
    assert int(privileged, 16) >> 21 & 1  # CAP_SYS_ADMIN


@pytest.mark.needs("subuid")
def test_user_is_looked_up_in_the_container(rootless, container):
    container("-u", "daemon")
    assert rootless("exec", "c1", "id", "-un").stdout == "daemon\n"
    assert rootless("exec", "-u", "root", "c1", "id", "-un").stdout == "root\n"
    assert rootless("exec", "-u", "1:3", "c1", "id", "-u").stdout == "1\n"
    assert rootless("exec", "-u", "1:3", "c1", "id", "-G").stdout == "3\n"
    assert rootless("exec", "-u", "1234", "c1", "id", "-u").stdout == "1234\n"


def test_variables_come_from_files_and_the_caller(rootless, container, tmp_path):
    container("-e", "A=1", "-e", "GONE=1")
    file = tmp_path / "env"
    file.write_text("# none\nA=of the file\nF=f\n")
    done = rootless(
        "exec", "--env-file", str(file), "-e", "F=g", "-e", "GONE", "c1",
        "sh", "-c", 'echo "$A|$F|${GONE-unset}"',
    )  # fmt: skip
    assert done.stdout == "of the file|g|unset\n"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("c1", "nope"), 127, 'exec: "nope": executable file not found in $PATH'),
        (("c1", "/nope"), 127, 'exec: "/nope": no such file or directory'),
        (("c1", ""), 127, 'exec: "": executable file not found in $PATH'),
        (("c1", "/etc/passwd"), 126, 'exec: "/etc/passwd": permission denied'),
        (("c1", "/etc"), 126, 'exec: "/etc": is a directory: permission denied'),
        (("-d", "c1", "nope"), 1, 'exec: "nope": executable file not found in $PATH'),
        (("-u", "nobodyx", "c1", "true"), 1, "unable to find user nobodyx"),
        (("-u", "0:nogrp", "c1", "true"), 1, "unable to find group nogrp"),
        (("-u", "99999999999", "c1", "true"), 1, "uids and gids must be in range 0-2147483647"),
        (("-w", "/nope", "c1", "true"), 127, 'chdir to cwd ("/nope") failed: no such file'),
        (("-w", "/etc/passwd", "c1", "true"), 127, 'chdir to cwd ("/etc/passwd") failed: not a'),
        (("-w", "tmp", "c1", "true"), 128, "the working directory 'tmp' is not an absolute path"),
        (("--env-file", "/nope", "c1", "true"), 1, "open /nope: no such file or directory"),
        (("--detach-keys", "foo", "c1", "true"), 1, "invalid detach keys (foo)"),
        (("-it", "c1", "true"), 1, "the input device is not a TTY"),
        (("nope", "true"), 1, "No such container: nope"),
    ],
)
def test_wrong_input(rootless, container, words, status, message):
    container()
    done = rootless("exec", *words)
    assert (done.status, done.stdout) == (status, "")
    assert done.stderr.startswith(f"rootless: {message}")
    assert rootless("exec", "c1", "true").status == 0


def test_wrong_options(rootless):
    assert rootless("exec", "--bogus", "c1", "true").status == 125
    done = rootless("exec", "-e", "=x", "c1", "true")
    assert done.status == 125
    assert done.stderr.startswith('invalid argument "=x" for "-e, --env" flag: invalid environment')
    for words in ((), ("c1",)):
        done = rootless("exec", *words)
        assert done.status == 1
        assert done.stderr.startswith("'rootless exec' requires at least 2 arguments")


def test_container_that_has_ended_is_refused(rootless):
    rootless("run", "--name", "c1", "--rootfs", "/", "true").ok()
    done = rootless("exec", "c1", "true")
    assert done.status == 1
    identity = rootless("ps", "-aq", "--no-trunc").stdout.strip()
    assert done.stderr == f"rootless: container {identity} is not running\n"


def test_exit_status_is_that_of_the_command(rootless, container):
    container()
    assert rootless("exec", "c1", "sh", "-c", "exit 7").status == 7
    assert rootless("exec", "c1", "sh", "-c", "kill -9 $$").status == 137
    assert rootless("exec", "c1", "sh", "-c", "kill -TERM $$").status == 143


def test_streams_are_connected_and_separate(rootless, container):
    container()
    done = rootless("exec", "c1", "sh", "-c", "echo out; echo err >&2; cat", stdin=b"not read")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert rootless("exec", "-i", "c1", "cat", stdin=b"x\0y\n").stdout == "x\0y\n"


def test_large_streams_pass_whole(rootless, container):
    container()
    data = os.urandom(1 << 20).hex().encode()
    assert rootless("exec", "-i", "c1", "cat", stdin=data).stdout.encode() == data


def test_a_background_process_of_the_command_is_not_waited_for(rootless, container):
    container()
    assert rootless("exec", "c1", "sh", "-c", "sleep 1000 & echo x").stdout == "x\n"


def test_no_descriptor_of_the_engine_is_open(rootless, container):
    container()
    done = rootless("exec", "c1", "sh", "-c", "ls /proc/self/fd; ls -l /proc/self/fd").ok()
    assert done.stdout.split("total")[0].split() == ["0", "1", "2", "3"]  # 3 is the directory
    assert "socket" not in done.stdout


def test_several_at_once(rootless, container):
    container()
    running = [rootless.popen("exec", "c1", "sh", "-c", f"sleep 0.2; exit {n}") for n in range(8)]
    assert [process.wait(120) for process in running] == list(range(8))


def test_detached_command_goes_on(rootless, container):
    container()
    done = rootless("exec", "-d", "c1", "sh", "-c", "sleep 0.3; echo done > /tmp/late")
    assert (done.status, done.stdout, done.stderr) == (0, "", "")
    wait_until(lambda: rootless("exec", "c1", "cat", "/tmp/late").stdout == "done\n")


def test_detached_command_with_a_terminal_goes_on(rootless, container):
    container()
    rootless(
        "exec", "-dt", "c1", "sh", "-c", "tty > /tmp/tty; sleep 0.3; echo x; echo done > /tmp/late"
    ).ok()
    wait_until(lambda: rootless("exec", "c1", "cat", "/tmp/late").stdout == "done\n")
    assert rootless("exec", "c1", "cat", "/tmp/tty").stdout.startswith("/dev/pts/")


def test_command_ends_with_the_container(rootless, container):
    container()
    running = rootless.popen("exec", "c1", "sh", "-c", "echo ready; exec sleep 1000")
    assert running.stdout.readline() == b"ready\n"
    rootless("rm", "-f", "c1").ok()
    assert running.wait(120) == 137


def test_killing_the_client_leaves_the_command_running(rootless, container):
    container()
    script = "echo ready; sleep 0.5; echo done > /tmp/late"
    for number in (signal.SIGKILL, signal.SIGTERM):
        running = rootless.popen("exec", "c1", "sh", "-c", script)
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(number)
        running.wait(120)
        wait_until(lambda: rootless("exec", "c1", "cat", "/tmp/late").stdout == "done\n")
        rootless("exec", "c1", "rm", "/tmp/late").ok()


def test_first_process_ended_while_the_command_starts(rootless, container):
    """Whatever the moment is: a status of the command, or the refusal, and no trace of Python."""
    process = container()
    clients = [rootless.popen("exec", "c1", "true") for _ in range(6)]
    rootless("rm", "-f", "c1").ok()
    process.wait(120)
    for client in clients:
        _, errors = client.communicate(timeout=120)
        assert client.returncode in (0, 1, 137)
        assert b"Traceback" not in errors


# Terminals.


@pytest.fixture
def terminal(rootless, container):
    container()
    with terminals(rootless) as open_terminal:
        yield lambda *words, options=("-it",): open_terminal("exec", *options, "c1", *words)


@pytest.fixture
def shell(terminal):
    return with_prompt(terminal(*SHELL, options=SHELL_OPTIONS))


def test_terminal_is_the_containers_and_follows_the_callers_size(shell):
    shell.type(b"tty; stty size; echo $TERM\n")
    shell.expect(b"/dev/pts/")
    shell.expect(b"31 91")
    shell.expect(b"xterm")
    shell.expect(PROMPT)
    shell.resize(40, 100)
    shell.type(b"until stty size | grep -q ' 100$'; do sleep 0.05; done; stty size\n")
    shell.expect(b"40 100")
    shell.type(b"exit 5\n")
    assert shell.process.wait(120) == 5
    assert shell.is_restored()


def test_interrupt_key_ends_the_program_and_not_the_shell(shell):
    shell.type(b"sleep 1001\n")
    wait_until(lambda: runs_in_foreground(b"sleep\0001001\0"))
    shell.type(b"\x03")
    shell.expect(PROMPT)
    shell.type(b"echo status $?\n")
    shell.expect(b"status 130")


def test_detach_keys_leave_the_command_running(rootless, terminal):
    user = terminal("sh", "-c", "echo ready; sleep 1; echo x; echo done > /tmp/late")
    user.expect(b"ready")
    user.type(b"\x10\x11")
    assert user.process.wait(120) == 0
    assert user.is_restored()
    wait_until(lambda: rootless("exec", "c1", "cat", "/tmp/late").stdout == "done\n")


def test_other_detach_keys(terminal):
    user = terminal(
        "sh", "-c", "echo ready; sleep 1000", options=("-it", "--detach-keys", "ctrl-a,b")
    )
    user.expect(b"ready")
    user.type(b"\x01b")
    assert user.process.wait(120) == 0


def test_terminal_without_input(rootless, container):
    container()
    assert rootless("exec", "-t", "c1", "tty").stdout.startswith("/dev/pts/")


# Attacks by the container.


@pytest.mark.parametrize(
    "link", ["/proc/self/cwd", "/proc/1/root/tmp", "/proc/self/fd/0", "/proc/self/exe"]
)
def test_working_directory_is_not_resolved_through_magic_links(rootless, container, link):
    container()
    rootless("exec", "c1", "ln", "-sfn", link, "/tmp/link").ok()
    done = rootless("exec", "-w", "/tmp/link", "c1", "pwd")
    assert done.status == 127
    assert done.stderr.startswith('rootless: chdir to cwd ("/tmp/link") failed: ')


def test_absolute_links_stay_in_the_container(rootless, container):
    container()
    rootless("exec", "c1", "sh", "-c", "mkdir /tmp/inside; ln -s /../../../tmp/inside /tmp/up").ok()
    assert rootless("exec", "-w", "/tmp/up", "c1", "pwd", "-P").stdout == "/tmp/inside\n"


def test_program_of_the_engine_is_not_executed(rootless, container):
    """CVE-2019-5736: a command that leads to /proc/self/exe."""
    container()
    rootless("exec", "c1", "sh", "-c", "ln -s /proc/self/exe /tmp/p").ok()
    assert rootless("exec", "c1", "/tmp/p").status == 126


SPY = """
import os, sys, time
print("ready", flush=True)
known, end = set(), time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    for name in os.listdir("/proc"):
        if not name.isdecimal() or name == str(os.getpid()):
            continue
        try:
            program = os.readlink(f"/proc/{name}/exe")
            os.listdir(f"/proc/{name}/fd")
            with open(f"/proc/{name}/mem", "rb"):
                pass
        except OSError:
            continue
        known.add(program)
print(*sorted(known), sep="\\n")
"""


def test_process_cannot_be_looked_into_before_exec(rootless, container):
    """CVE-2016-9962: a process of the container, with CAP_SYS_PTRACE, that tries to."""
    container("--privileged")
    spy = rootless.popen("exec", "c1", sys.executable, "-c", SPY, "4")
    assert spy.stdout.readline() == b"ready\n"
    for _ in range(15):
        rootless("exec", "c1", "true").ok()
    programs = spy.communicate(timeout=120)[0].decode().split()
    assert any(program.endswith("/sleep") for program in programs)  # it can look into others
    # The test's own interpreter is the engine's: seen would be the joining process.
    assert os.path.realpath(sys.executable) not in programs


def test_fifo_as_user_database_is_not_waited_for(rootless, container):
    container()
    rootless("exec", "c1", "sh", "-c", "rm /etc/passwd; mkfifo /etc/passwd").ok()
    assert rootless("exec", "c1", "true", timeout=120).status == 0


def test_false_terminal_device_is_refused(rootless, container):
    container("--privileged")
    rootless(
        "exec", "--privileged", "c1", "sh", "-c", "mount -t tmpfs t /dev/pts; echo > /dev/pts/ptmx"
    ).ok()
    done = rootless("exec", "-t", "c1", "true")
    assert done.status == 1
    assert done.stderr.startswith("rootless: cannot allocate a terminal in the container")


def test_threaded_program_executes_a_command(rootless, container):
    container()
    code = (
        "import threading\n"
        "from rootless import Engine\n"
        "from rootless.spec.exec_options import ExecOptions\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "raise SystemExit(Engine().exec('c1', ExecOptions(command=('sh', '-c', 'exit 9'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=rootless.env, check=False, timeout=120)
    assert done.returncode == 9
