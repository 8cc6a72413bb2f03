"""`try`: the host's files copy on write, with everything else as without it."""

import os
import select
import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.support.rootless import short_directory
from tests.support.shell_on_terminal import type_into_shell
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A work tree, and the working directory of the commands."""
    place = tmp_path / "work"
    (place / "dir").mkdir(parents=True)
    (place / "file").write_text("old\n")
    (place / "secret").mkdir()
    (place / "secret/key").write_text("key\n")
    monkeypatch.chdir(place)
    return place


def tried(rootless, *words, options=(), **more):
    return rootless("try", "--name", "one", *options, "--", *words, **more)


def test_command_sees_its_changes_and_the_host_does_not(rootless, work):
    assert (
        tried(rootless, "sh", "-c", "echo new > file; rm -r dir; cat file").ok().stdout == "new\n"
    )
    assert (work / "file").read_text() == "old\n"
    assert (work / "dir").is_dir()
    changes = rootless("changes", "one").ok().stdout.replace(f"{work}/", "").splitlines()
    assert changes == ["deleted  dir/", "changed  file  (4B)"]


def test_user_directory_and_environment_are_the_callers(rootless, work, monkeypatch):
    monkeypatch.setenv("GIVEN", "some value")
    monkeypatch.setenv("PATH", "/usr/bin:/bin:/opt/none")
    script = (
        'id -u; id -g; id -un; pwd; echo "$GIVEN" "$HOME" "$PATH"; umask; uname -n; cat /etc/hosts'
    )
    lines = tried(rootless, "sh", "-c", script).ok().stdout.splitlines()
    assert lines[:3] == [str(os.getuid()), str(os.getgid()), os.environ["USER"]]
    assert lines[3] == str(work)
    assert lines[4] == f"some value {os.environ['HOME']} /usr/bin:/bin:/opt/none"
    assert int(lines[5], 8) == os.umask(0o022)
    assert lines[6] == os.uname().nodename
    assert lines[7:] == Path("/etc/hosts").read_text().splitlines()


def test_without_a_terminal_the_changes_are_kept_and_named(rootless, work):
    result = rootless("try", "touch", "made").ok()
    assert result.stdout == ""
    name = result.stderr.split("kept as ")[1].split(":")[0]
    assert "/made" in rootless("changes", name).ok().stdout
    assert rootless("drop", name).ok().stdout == f"{name}\n"
    assert rootless("ps", "-aq").ok().stdout == ""


def test_dropped_changes_leave_nothing(rootless, work):
    result = tried(rootless, "touch", "made", options=["--drop"]).ok()
    assert (result.stdout, result.stderr) == ("", "")
    assert rootless("ps", "-aq").ok().stdout == ""
    assert not (work / "made").exists()


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 7", 7), ("kill -TERM $$", 128 + signal.SIGTERM), ("no-such-command", 127)],
)
def test_status_is_that_of_the_command(rootless, work, script, status):
    assert tried(rootless, "sh", "-c", script, options=["--drop"]).status == status


def test_standard_input_is_passed_on(rootless, work):
    assert tried(rootless, "cat", options=["--drop"], stdin=b"input").ok().stdout == "input"


def test_on_leaves_the_rest_read_only(rootless, work):
    script = "echo a > dir/a; echo b > b || echo refused; cat dir/a file"
    result = tried(rootless, "sh", "-c", script, options=["--on", "dir"]).ok()
    assert result.stdout == "refused\na\nold\n"
    assert not list((work / "dir").iterdir())


def test_rw_is_the_hosts_own(rootless, work):
    tried(rootless, "sh", "-c", "echo x > dir/x; echo y > y", options=["--rw", "dir"]).ok()
    assert (work / "dir/x").read_text() == "x\n"
    assert rootless("changes", "one").ok().stdout.splitlines() == [f"created  {work}/y  (2B)"]


@pytest.mark.parametrize(
    "path",
    [
        "secret/key",
        "linked",
        "through/secret/key",
        "/proc/1/root{work}/secret/key",
        "dir/secret/key",
    ],
)
def test_hidden_directory_cannot_be_read_by_any_path(rootless, work, path):
    os.link(work / "secret/key", work / "linked")
    (work / "through").symlink_to(".")
    (work / "dir/secret").mkdir()
    os.link(work / "secret/key", work / "dir/secret/key")
    options = ["--hide", "secret", "--rw", "dir", "--hide", "dir/secret"]
    shown = path.format(work=work)
    result = tried(rootless, "sh", "-c", f"ls -A secret; cat {shown}", options=options)
    assert result.stdout == ""
    assert result.status == 1


def test_hidden_file_cannot_be_read_by_its_other_names_where_the_files_are_the_hosts_own(
    rootless, work
):
    os.link(work / "secret/key", work / "dir/key")
    os.link(work / "file", work / "dir/file")
    options = ["--hide", "secret", "--hide", "file", "--rw", "dir"]
    script = "cat secret/key file dir/key dir/file; ln dir/key dir/new; cat dir/new"
    assert tried(rootless, "sh", "-c", script, options=options).stdout == ""


@pytest.mark.parametrize("path", ["/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_file_of_the_kernel_can_be_hidden(rootless, work, path):
    assert tried(rootless, "cat", path).ok().stdout != ""
    rootless("drop", "one").ok()
    assert tried(rootless, "cat", path, options=["--hide", path]).stdout == ""


def test_list_of_the_user_hides(rootless, work, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    place = tmp_path / "config/rootless/try-hide"
    place.parent.mkdir(parents=True)
    place.write_text(f"# what nothing may see\n{work}/secret\n")
    assert tried(rootless, "ls", "secret").ok().stdout == ""


def test_descriptors_of_the_caller_are_not_inherited(rootless, work):
    fd = os.open(work / "secret/key", os.O_RDONLY)
    os.set_inheritable(fd, True)
    script = f"cat <&{fd}"
    assert tried(rootless, "sh", "-c", script, options=["--hide", "secret"]).status != 0
    os.close(fd)


def test_root_cannot_be_hidden(rootless, work):
    (work / "root").symlink_to("/")
    for path in ("/", "root"):
        result = tried(rootless, "true", options=["--hide", path], timeout=120)
        assert (result.status, len(result.stderr.splitlines())) == (125, 1)


CONNECT = """
import os, socket, sys
made = socket.socket(socket.AF_UNIX)
made.connect(os.environ.get("SSH_AUTH_SOCK") or sys.argv[1])
print(made.recv(16))
"""


@pytest.mark.parametrize(
    ("options", "is_reached"),
    [
        ([], False),
        (["--agents"], False),
        (["--rw", "{agent}"], True),
        (["--agents", "--rw", "{agent}"], True),
    ],
)
def test_agent_is_reached_only_if_that_is_allowed(rootless, work, monkeypatch, options, is_reached):
    agent = short_directory() / "agent"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(agent))
        listening.listen()
        listening.setblocking(False)
        for name in (
            "SSH_AUTH_SOCK",
            "GPG_AGENT_INFO",
            "WAYLAND_DISPLAY",
            "DBUS_SESSION_BUS_ADDRESS",
        ):
            monkeypatch.setenv(name, str(agent))
        (work / "linked").symlink_to(agent)
        done = rootless.popen(
            "try", "--drop", *(each.format(agent=agent) for each in options),
            "--", "sh", "-c", "env | grep -c '/agent$'; exec python3 -c \"$0\" linked", CONNECT,
        )  # fmt: skip
        wait_until(lambda: done.poll() is not None or select.select([listening], [], [], 0)[0])
        if is_reached:
            with listening.accept()[0] as connection:
                connection.send(b"signed")
        out, error = done.communicate(timeout=120)
    shutil.rmtree(agent.parent)
    variables, *answer = out.decode().splitlines()
    assert variables == ("4" if "--agents" in options else "0")
    assert answer == (["b'signed'"] if is_reached else [])
    assert (b"ConnectionRefusedError" in error) is not is_reached


def test_path_that_does_not_exist_is_refused(rootless, work):
    for flag in ("--on", "--rw", "--hide"):
        result = tried(rootless, "true", options=[flag, "nothing"])
        assert (result.status, "no such file" in result.stderr) == (125, True)


def test_try_in_a_try_keeps_to_its_layer(rootless, work, tmp_path):
    program = f"PYTHONPATH={Path(__file__).parents[3]} {sys.executable} -m rootless"
    inner = (
        f"XDG_DATA_HOME={tmp_path}/inner {program} try --name two -- sh -c 'echo in > in; cat in'"
    )
    result = tried(rootless, "sh", "-c", f"{inner}; ls").ok()
    assert result.stdout.split() == ["in", "dir", "file", "secret"]
    assert not (work / "in").exists()


def test_explain_tells_what_is_not_undone(rootless, work):
    text = rootless("try", "--explain").ok().stdout
    for word in ("processes", "network", "sockets", "devices"):
        assert f"\n  {word} " in text


@pytest.mark.parametrize(("answer", "is_kept"), [("k", True), ("d", False)])
def test_terminal_shows_the_changes_and_asks_once(rootless, work, answer, is_kept):
    command = ["try", "--name", "one", "sh", "-c", "echo new > file; test -t 0 && test -t 1"]
    shown = type_into_shell(rootless, command, [answer])
    assert f"changed  {work}/file" in shown
    assert shown.count("[k]eep") == 1
    assert (rootless("ps", "-aq").ok().stdout != "") is is_kept
    assert (work / "file").read_text() == "old\n"


def test_terminal_shows_the_difference_on_request(rootless, work):
    shown = type_into_shell(rootless, ["try", "sh", "-c", "echo new > file"], ["v", "d"])
    assert "-old" in shown
    assert "+new" in shown


def test_terminal_without_changes_asks_nothing(rootless, work):
    shown = type_into_shell(rootless, ["try", "true"], [])
    assert "no file was changed" in shown
    assert rootless("ps", "-aq").ok().stdout == ""


def test_what_was_kept_is_a_container(rootless, work):
    tried(rootless, "sh", "-c", "echo said; echo new > file").ok()
    assert rootless("logs", "one").ok().stdout == "said\n"
    assert "one" in rootless("ps", "-a").ok().stdout
    shutil.rmtree(work / "dir")
    assert rootless("diff", "one").ok().stdout.splitlines()[-1] == f"C {work}/file"


def test_files_of_the_kernel_cannot_be_copied_and_nothing_is_left_behind(rootless, work):
    result = tried(rootless, "true", options=["--on", "/proc"])
    assert (result.status, len(result.stderr.splitlines())) == (125, 1)
    assert rootless("ps", "-aq").ok().stdout == ""


@pytest.mark.parametrize("command", ["no-such-command", "/etc"])
def test_command_that_cannot_be_started_leaves_nothing_behind(rootless, work, command):
    result = tried(rootless, command)
    assert (result.status in {126, 127}, len(result.stderr.splitlines())) == (True, 1)
    assert rootless("ps", "-aq").ok().stdout == ""
    tried(rootless, "true").ok()
    assert tried(rootless, command).status == 125
    rootless("drop", "one").ok()


def test_files_and_snapshots_of_a_command_that_runs(rootless, work, tmp_path):
    running = rootless.popen("try", "--keep", "--name", "one", "sh", "-c", "echo 1 > made; cat")
    wait_until(lambda: rootless("exec", "one", "test", "-s", "made").status == 0)
    rootless("snapshot", "one", "first").ok()
    rootless("exec", "one", "sh", "-c", "echo 2 > made; mv file moved").ok()
    rootless("cp", f"one:{work}/made", str(tmp_path / "copied")).ok()
    assert (tmp_path / "copied").read_text() == "2\n"
    lines = rootless("changes", "one@first", "one").ok().stdout.replace(f"{work}/", "").splitlines()
    assert lines == ["changed  made  (2B)", "moved    file -> moved"]
    running.communicate(b"", timeout=120)
    assert running.returncode == 0
