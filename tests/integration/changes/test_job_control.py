"""Job control of the caller's shell with `rootless try`, in a window of tmux: ctrl-z, fg, bg and jobs as without it."""

import shutil
import sys

import pytest

from tests.support.tmux import window
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "tmux")


@pytest.fixture
def shown(rootless, tmp_path, monkeypatch):
    """A window whose shell has the commands `tried`, which names its container one, and `inside` in that."""
    monkeypatch.chdir(tmp_path)
    program = f"{sys.executable} -m rootless"
    with window(rootless.env) as opened:
        opened.resize(200, 24)
        opened.run(f'tried() {{ {program} try --keep --name one -- "$@"; }}')
        opened.run(f'inside() {{ {program} exec one "$@"; }}')
        opened.clear()
        yield opened


def count(rootless):
    """What the command of the test has counted to."""
    return int(rootless("exec", "one", "cat", "ticks").stdout or 0)


def status(rootless):
    return rootless("inspect", "-f", "{{.State.Status}}", "one").stdout.strip()


def goes_on(rootless):
    before = count(rootless)
    wait_until(lambda: count(rootless) > before)


COUNTING = "sh -c 'n=0; while :; do n=$((n+1)); echo $n > new; mv new ticks; sleep .05; done'"


def test_command_on_a_terminal_is_stopped_and_goes_on(rootless, shown):
    shown.run(f"tried {COUNTING}")
    wait_until(lambda: count(rootless) > 0)
    shown.type("C-z")
    shown.expect("Stopped")
    shown.expect_prompt()
    shown.clear()
    at = count(rootless)
    shown.run("stty -a | grep -ow '.*isig icanon.* echo' > /dev/null && echo as before")
    shown.expect("\nas before\n")
    assert count(rootless) == at
    shown.clear()
    shown.run("fg")
    goes_on(rootless)
    shown.type("C-z")
    shown.expect("Stopped")
    shown.run("bg")
    goes_on(rootless)
    shown.clear()
    shown.run("echo typed")
    shown.expect("\ntyped\n")
    goes_on(rootless)
    shown.run("fg")
    shown.expect("\n" + sys.executable)
    shown.type("C-c")
    wait_until(lambda: status(rootless) == "exited")
    shown.run("echo status $?")
    shown.expect("status 130")


def test_command_is_started_in_the_background(rootless, shown):
    shown.run(f"tried {COUNTING} &")
    wait_until(lambda: count(rootless) > 0)
    goes_on(rootless)
    shown.clear()
    shown.run("fg")
    shown.expect("\ntried")
    shown.type("C-c")
    wait_until(lambda: status(rootless) == "exited")


def test_all_processes_of_the_command_are_stopped(rootless, shown):
    shown.run(f"tried sh -c '{COUNTING[7:-1]} | cat'")
    wait_until(lambda: count(rootless) > 0)
    shown.type("C-z")
    shown.expect("Stopped")
    at = count(rootless)
    shown.run("inside sleep 1")
    shown.expect_prompt()
    assert count(rootless) == at
    shown.run("fg")
    goes_on(rootless)


def test_full_screen_program_gives_the_screen_back_and_shows_itself_again(
    rootless, shown, tmp_path
):
    if shutil.which("vim") is None:
        pytest.skip("needs vim")
    (tmp_path / "text").write_text("line of the text\n")
    shown.run("tried vim -u NONE -i NONE -n text")
    shown.expect("line of the text\n~")
    shown.type("C-z")
    shown.expect("Stopped")
    shown.expect_prompt()
    shown.run("echo typed")
    shown.expect("\ntyped\n")
    shown.run("fg")
    shown.expect("line of the text\n~")
    shown.run("dd:wq")
    shown.expect_prompt()
    assert (
        rootless("changes", "one", "text").ok().stdout == f"changed  {tmp_path}/text  (17B -> 0B)\n"
    )
    assert (tmp_path / "text").read_text() == "line of the text\n"


def test_command_without_a_terminal_is_stopped_with_its_caller(rootless, shown):
    shown.run(f"tried {COUNTING} < /dev/null | cat")
    wait_until(lambda: count(rootless) > 0)
    shown.type("C-z")
    shown.expect("Stopped")
    shown.run("inside sleep .3; clear")
    shown.expect_prompt()
    at = count(rootless)
    shown.run("inside sleep 1; clear")
    shown.expect_prompt()
    assert count(rootless) == at
    shown.run("bg")
    goes_on(rootless)
    shown.run("kill %1")
    wait_until(lambda: status(rootless) == "exited")


def test_signal_that_ends_a_stopped_command_is_its_status(rootless, shown):
    shown.run("tried sh -c 'echo begun; exec sleep 1000'")
    shown.expect("\nbegun")
    shown.type("C-z")
    shown.expect("Stopped")
    shown.clear()
    shown.run("kill %1; fg; echo status $?")
    shown.expect("status 143")


def test_jobs_of_a_shell_inside_are_its_own(rootless, shown):
    shown.run("tried env PS1='inside> ' bash --norc --noprofile -i")
    shown.expect_prompt("inside>")
    shown.run("sleep 1000")
    wait_until(lambda: "sleep" in rootless("exec", "one", "ps", "-e").stdout)
    shown.type("C-z")
    shown.expect("Stopped")
    shown.expect_prompt("inside>")
    shown.run("kill %1; suspend")
    shown.expect_prompt()
    shown.run("fg")
    shown.run("exit 7")
    shown.expect_prompt()
    shown.run("echo status $?")
    shown.expect("status 7")
