"""Containers at a terminal as users have it, driven through tmux: `run`, `exec`, `attach` and `start` with -i -t."""

import shlex
import sys
from contextlib import ExitStack

import pytest

from tests.support import tmux
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "tmux")

SHELL = ("--rootfs", "/", "-e", "PS1=inside> ", "bash", "--norc", "--noprofile")


@pytest.fixture
def command(rootless):
    """The words of a shell for a command of rootless."""
    return lambda *words: shlex.join((sys.executable, "-m", "rootless", *words))


@pytest.fixture
def windows(rootless):
    """Opens windows of tmux."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(tmux.window(rootless.env))


@pytest.fixture
def window(windows):
    return windows()


ANSWER = ("sed", "-u", "s/^/got:/")
"""Writes each line that is typed, marked."""


def type_to_program(window, line):
    """Type a line to `ANSWER` until it has one: the shell's line editor keeps what is typed before it has
    given the terminal to the program."""
    wait_until(lambda: window.run(line) or f"\ngot:{line}" in window.screen())


def status_of(rootless, name="held"):
    return rootless("inspect", "-f", "{{.State.Status}}", name).ok().stdout.strip()


def test_run_has_the_size_of_the_window_and_follows_it(window, command):
    window.run(command("run", "--rm", "-it", *SHELL))
    window.expect_prompt("inside>")
    window.run("trap 'stty size' WINCH; stty size")
    window.expect("24 80")
    window.expect_prompt("inside>")
    window.resize(100, 30)
    window.expect("30 100")
    window.run("exit 3")
    window.expect_prompt()
    window.run("echo status $?")
    window.expect("status 3")


def test_exec_has_the_size_of_the_window_and_follows_it(rootless, window, command):
    rootless("run", "-d", "--name", "held", "--rootfs", "/", "sleep", "1000").ok()
    words = ("exec", "-it", "-e", "PS1=inside> ", "held", "bash", "--norc", "--noprofile")
    window.run(command(*words))
    window.expect_prompt("inside>")
    window.run("trap 'stty size' WINCH; stty size")
    window.expect("24 80")
    window.expect_prompt("inside>")
    window.resize(100, 30)
    window.expect("30 100")
    window.run("exit 3")
    window.expect_prompt()
    window.run("echo status $?")
    window.expect("status 3")
    assert status_of(rootless) == "running"


def test_interrupt_goes_to_the_program_inside(window, command):
    window.run(command("run", "--rm", "-it", *SHELL))
    window.expect_prompt("inside>")
    window.run(f"trap 'echo caught' INT; {shlex.join(ANSWER)}")
    type_to_program(window, "typed")
    window.type("C-c")
    window.expect("^C")
    window.expect_prompt("inside>")
    window.run("echo status $?")
    window.expect("status 130")
    window.run("exit 0")
    window.expect_prompt()


def test_stop_key_and_fg_are_the_shells_inside(window, command):
    window.run(command("run", "--rm", "-it", *SHELL))
    window.expect_prompt("inside>")
    window.run(shlex.join(ANSWER))
    type_to_program(window, "typed")
    window.type("C-z")
    window.expect("Stopped")
    window.expect_prompt("inside>")
    window.run("fg")
    type_to_program(window, "again")
    window.type("C-d")
    window.expect_prompt("inside>")
    window.run("exit 0")
    window.expect_prompt()


def test_stopped_run_without_a_terminal_goes_on_with_fg(window, command):
    """Without -t the keys are the caller's: ctrl-z stops `run`, and fg continues it."""
    window.run(command("run", "--rm", "-i", "--rootfs", "/", *ANSWER))
    type_to_program(window, "typed")
    window.type("C-z")
    window.expect("Stopped")
    window.expect_prompt()
    window.run("fg")
    type_to_program(window, "again")
    window.type("C-d")
    window.expect_prompt()


def test_previous_line_key_alone_reaches_the_shell_inside(window, command):
    """ctrl-p begins the detach keys; alone it is passed on after a moment."""
    window.run(command("run", "--rm", "-it", *SHELL))
    window.expect_prompt("inside>")
    window.run("echo first $((40 + 2))")
    window.expect("first 42")
    window.run("clear")
    window.expect_no("42")
    window.type("C-p", "C-p")
    window.expect("inside> echo first")
    window.type("Enter")
    window.expect("first 42")
    window.run("clear")
    window.expect_no("42")
    window.type("C-p")
    window.expect("inside> clear")
    window.type("C-u")
    window.run("exit 0")
    window.expect_prompt()


def test_detach_and_attach_twice(rootless, windows, command):
    first, second = windows(), windows()
    first.run(command("run", "-it", "--name", "held", *SHELL))
    first.expect_prompt("inside>")
    first.type("C-p", "C-q")
    first.expect_prompt()
    assert status_of(rootless) == "running"
    for window in (first, second):
        window.clear()
        window.run(command("attach", "held"))
        window.type("Enter")
        window.expect_prompt("inside>")  # it is attached: the shell has answered
    first.run("echo shown $((40 + 2))")
    for window in (first, second):
        window.expect("shown 42")
    second.run("echo typed $((40 + 3))")
    for window in (first, second):
        window.expect("typed 43")
    second.type("C-p", "C-q")
    second.expect_prompt()
    first.run("exit 4")
    first.expect_prompt()
    first.run("echo status $?")
    first.expect("status 4")
    assert status_of(rootless) == "exited"


def test_start_with_the_window_and_other_detach_keys(rootless, window, command):
    rootless("create", "-it", "--name", "held", *SHELL).ok()
    window.run(command("start", "-ai", "--detach-keys", "ctrl-x,d", "held"))
    window.expect_prompt("inside>")
    window.run("stty size")
    window.expect("24 80")
    window.type("C-x", "d")
    window.expect_prompt()
    assert status_of(rootless) == "running"
    rootless("rm", "-f", "held").ok()


@pytest.mark.needs("vi")
def test_vi_draws_and_writes_a_file(window, command):
    window.run(command("run", "--rm", "-it", "--tmpfs", "/t", *SHELL))
    window.expect_prompt("inside>")
    window.run("vi -u NONE /t/file")
    window.expect("~\n~")
    window.type("i", "some text", "Escape")
    window.expect("some text")
    window.run(":wq")
    window.expect_prompt("inside>")
    window.run("clear; cat /t/file; stty -a | grep -o ' icanon'")
    window.expect("some text\n icanon")
    window.run("exit 0")
    window.expect_prompt()


@pytest.mark.needs("top", "less")
def test_top_and_less_take_the_keys_and_give_the_screen_back(window, command):
    window.run(command("run", "--rm", "-it", *SHELL))
    window.expect_prompt("inside>")
    window.run("top")
    window.expect("PID USER")
    window.type("q")
    window.expect_prompt("inside>")
    window.run("clear")
    window.expect_no("PID USER")
    window.run("seq 1000 | less")
    window.expect("\n23\n:")
    window.type("G")
    window.expect("\n1000\n")
    window.type("q")
    window.expect_prompt("inside>")
    window.run("echo back $((40 + 2))")
    window.expect("back 42")
    window.run("exit 0")
    window.expect_prompt()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("seq 3 | {} | tail -n 1", "3"),
        ("{} < /dev/null; echo end $?", "end 0"),
        ("yes | {} | head -n 1", "y"),
    ],
)
def test_pipe_at_each_end(window, command, line, shown):
    window.clear()
    window.run(line.format(command("run", "--rm", "-i", "--rootfs", "/", "cat")))
    window.expect(f"\n{shown}\n")
    window.expect_prompt()
