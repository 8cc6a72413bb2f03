"""-i -t: the container's terminal joined to the caller's, which is as it was afterwards."""

import os
import signal
import sys

import pytest

from tests.support.file_servers import kill_file_servers
from tests.support.terminal import (
    PROMPT,
    SHELL,
    SHELL_OPTIONS,
    Terminal,
    runs_in_foreground,
    terminals,
    with_prompt,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")


@pytest.fixture
def terminal(rootless):
    with terminals(rootless) as open_terminal:
        yield lambda *words, options=("-i", "-t"), **more: open_terminal(
            "run", "--rm", *options, "--rootfs", "/", *words, **more
        )


@pytest.fixture
def shell(terminal):
    return with_prompt(terminal(*SHELL, options=SHELL_OPTIONS))


def test_terminal_has_the_callers_size_and_follows_it(shell):
    shell.type(b"stty size\n")
    shell.expect(b"31 91")
    shell.expect(PROMPT)
    shell.type(b"trap 'echo WINCHED' WINCH; echo set\n")
    shell.expect(b"\nset")
    shell.expect(PROMPT)
    shell.resize(40, 100)
    shell.type(b"until stty size | grep -q ' 100$'; do sleep 0.05; done; stty size\n")
    shell.expect(b"40 100")


def test_interrupt_key_ends_the_program_and_not_the_shell(shell):
    shell.type(b"sleep 1000\n")
    wait_until(lambda: runs_in_foreground(b"sleep\0001000\0"))
    shell.type(b"\x03")
    shell.expect(PROMPT)
    shell.type(b"echo status $?\n")
    shell.expect(b"status 130")


def test_jobs_can_be_stopped_and_continued(shell):
    shell.type(b"sleep 1001\n")
    wait_until(lambda: runs_in_foreground(b"sleep\0001001\0"))
    shell.type(b"\x1a")
    shell.expect(b"Stopped")
    shell.expect(PROMPT)
    shell.type(b"kill %1; wait; echo done\n")
    shell.expect(b"\r\ndone")


def test_status_is_the_shells_and_the_terminal_is_restored(shell):
    assert not shell.is_restored()
    shell.type(b"exit 7\n")
    assert shell.wait() == 7
    assert shell.is_restored()


def test_terminal_is_restored_when_the_command_is_not_found(terminal):
    user = terminal("no-such-command")
    assert user.wait() == 127
    assert user.is_restored()


def test_last_output_is_not_lost(terminal):
    user = terminal("sh", "-c", "seq 1 20000; echo the end")
    user.expect(b"the end")
    assert user.wait() == 0


def test_container_sees_a_terminal_of_its_own(terminal):
    user = terminal(
        "sh", "-c", "tty; test -t 0 && test -t 1 && test -t 2 && : < /dev/tty && echo ok"
    )
    user.expect(b"/dev/")
    user.expect(b"ok")
    assert user.wait() == 0


def test_terminal_without_interactive_shows_output_only(terminal):
    user = terminal("sh", "-c", "stty size; echo shown", options=("-t",))
    user.expect(b"31 91")
    user.expect(b"shown")
    assert user.wait() == 0
    assert user.is_restored()


def test_interactive_terminal_needs_one_on_standard_input(rootless):
    result = rootless("run", "--rm", "-it", "--rootfs", "/", "true")
    assert result.status == 1
    assert "the input device is not a TTY" in result.stderr


DETACHED = b"\x10\x11"
FORK = ("-it", "--name", "fred")


def test_detach_keys_leave_the_container_running(terminal, rootless):
    user = terminal("sh", "-c", "echo up; sleep 1002", options=FORK)
    user.expect(b"up")
    user.type(DETACHED)
    assert user.wait() == 0
    assert user.is_restored()
    assert "Up" in rootless("ps").ok().stdout
    rootless("rm", "-f", "fred").ok()
    assert rootless("ps", "-aq").ok().stdout == ""


def test_detached_container_writes_more_than_a_terminal_holds_and_ends(
    terminal, rootless, tmp_path
):
    script = f"echo up; until test -e {tmp_path}/go; do sleep 0.1; done; seq 1 200000; touch {tmp_path}/done"
    user = terminal(
        *("sh", "-c", script), options=("-it", "--name", "fred", "-v", f"{tmp_path}:{tmp_path}")
    )
    user.expect(b"up")
    user.type(DETACHED)
    assert user.wait() == 0
    (tmp_path / "go").touch()
    wait_until(lambda: "fred" not in rootless("ps", "-a").ok().stdout)
    assert (tmp_path / "done").exists()


def test_detach_keys_are_those_that_were_asked_for(terminal, rootless):
    options = ("-it", "--name", "fred", "--detach-keys", "ctrl-x,a")
    user = terminal("sh", "-c", "echo up; cat -v", options=options)
    user.expect(b"up")
    user.type(DETACHED + b"\x18b\r")
    user.expect(b"^P^Xb")  # ctrl-q is a key of the container's terminal (stty start)
    user.type(b"\x18a")
    assert user.wait() == 0
    rootless("rm", "-f", "fred").ok()


def test_wrong_detach_keys_are_refused(rootless):
    result = rootless("run", "--rm", "--detach-keys", "ctrl-xx", "--rootfs", "/", "true")
    assert result.status == 125
    assert "invalid detach keys (ctrl-xx)" in result.stderr


def test_interrupt_keys_that_the_command_cannot_get_name_the_way_out(terminal):
    # Process 1 from its first instruction on; a shell before `exec` catches SIGINT.
    user = terminal("sleep", "1000")
    while user.is_restored():
        user.read_some(0.05)
    user.type(b"\x03")
    user.expect(b"^C")
    user.type(b"\x1c")
    user.expect(b"^\\")
    for _ in range(2):
        user.type(b"\x03")
        user.expect(b"^C")
    assert b"rootless:" not in user.seen
    user.type(b"\x03")
    user.expect(b"rootless: the command ignores ctrl-c; ctrl-p ctrl-q detaches")
    user.type(DETACHED)
    assert user.wait() == 0


def test_interrupt_keys_that_the_command_takes_name_nothing(terminal):
    user = terminal("sh", "-c", "trap 'echo caught' INT; echo up; while :; do sleep 0.05; done")
    user.expect(b"up")
    for _ in range(4):
        user.type(b"\x03")
        user.expect(b"caught")
    assert b"rootless:" not in user.seen


def test_killed_file_server_is_reported_on_a_line_of_its_own(terminal, rootless):
    user = terminal("sh", "-c", "printf up; while :; do sleep 0.05; done", options=FORK)
    user.expect(b"up")
    shown = rootless("inspect", "-f", "{{.State.Pid}}", "fred").ok().stdout
    with open(f"/proc/{shown.strip()}/stat", encoding="ascii") as file:
        monitor = int(file.read().rpartition(")")[2].split()[1])
    kill_file_servers(monitor, int(shown), lambda: not os.path.exists(f"/proc/{int(shown)}"))
    user.expect(b"\r\nrootless: the file server of the container was killed (signal 9)\r\n")
    assert user.wait() > 128
    assert user.is_restored()


# Job control: a shell at the caller's terminal, in which `run` is a job.


@pytest.fixture
def job_shell(rootless):
    """A user at an interactive bash, whose `run` stands for the command and its first options."""
    user = Terminal(rootless, argv=["bash", "--norc", "--noediting", "-i"], env={"PS1": "SHELL> "})
    user.expect(CALLERS_PROMPT)
    user.type(f'run() {{ {sys.executable} -m rootless run --rm "$@"; }}\n'.encode())
    user.expect(CALLERS_PROMPT)
    yield user
    user.type(b"kill -KILL %1 %2 2>/dev/null\n")
    user.close()


CALLERS_PROMPT = b"SHELL> "
RUN_SHELL = b"run -it -e PS1='READY''> ' --rootfs / bash --norc --noediting -i"


def test_background_run_with_a_terminal_is_stopped_and_goes_on_in_the_foreground(job_shell):
    job_shell.type(RUN_SHELL + b" &\n")
    job_shell.expect(CALLERS_PROMPT)
    until_stopped(job_shell)
    job_shell.type(b"fg\n")
    wait_until(job_shell.is_raw)
    job_shell.type(b"\r")
    job_shell.expect(PROMPT)
    job_shell.type(b"echo $((6*7))\r")
    job_shell.expect(b"42\r\n")
    job_shell.type(b"exit 3\r")
    job_shell.expect(CALLERS_PROMPT)
    job_shell.type(b"echo status $?; stty -a\n")
    job_shell.expect(b"status 3")
    assert b" icanon" in job_shell.expect(CALLERS_PROMPT)


def until_stopped(user):
    def stopped():
        user.type(b"jobs\n")
        return b"Stopped" in user.expect(CALLERS_PROMPT)

    wait_until(stopped)


def test_run_that_is_stopped_from_elsewhere_gives_the_terminal_back_and_takes_it_again(job_shell):
    job_shell.type(RUN_SHELL + b"\n")
    job_shell.expect(PROMPT)
    group = os.tcgetpgrp(job_shell.master)
    os.killpg(group, signal.SIGTSTP)
    job_shell.expect(CALLERS_PROMPT)
    job_shell.type(b"stty -a\n")
    assert b" icanon" in job_shell.expect(CALLERS_PROMPT)
    job_shell.type(b"fg\n")
    wait_until(job_shell.is_raw)
    job_shell.type(b"\r")
    job_shell.expect(PROMPT)
    job_shell.type(b"echo $((6*7))\r")
    job_shell.expect(b"42\r\n")
    job_shell.type(b"exit\r")
    job_shell.expect(CALLERS_PROMPT)


def test_suspend_key_stops_a_run_without_a_terminal_and_the_container_goes_on(job_shell):
    script = 'trap "echo GOT; exit 4" USR1; echo U; echo P; while :; do sleep 0.05; done'
    job_shell.type(f"run --rootfs / sh -c '{script}'\n".encode())
    job_shell.expect(b"\nU\r\nP")
    job_shell.type(b"\x1a")
    job_shell.expect(b"Stopped")
    job_shell.expect(CALLERS_PROMPT)
    job_shell.type(b"bg; kill -USR1 %1; wait %1; echo status $?\n")
    job_shell.expect(b"\nGOT")
    job_shell.expect(b"status 4")


def test_background_run_that_reads_is_stopped_until_it_is_in_the_foreground(job_shell):
    job_shell.type(b"run -i --rootfs / sed -u s/x/y/ &\n")
    job_shell.expect(CALLERS_PROMPT)
    until_stopped(job_shell)
    job_shell.type(b"fg\n")
    wait_until(lambda: os.tcgetpgrp(job_shell.master) != job_shell.process.pid)
    job_shell.type(b"axb\n")
    job_shell.expect(b"\nayb")
    job_shell.type(b"\x04")
    job_shell.expect(CALLERS_PROMPT)
