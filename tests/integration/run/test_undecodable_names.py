"""Bytes that are not UTF-8, which Linux allows, and a current directory that is gone."""

import json
import os
import pty
import subprocess
import sys

import pytest

NAME = os.fsdecode(b"b\xffd")


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / NAME
    path.mkdir()
    (path / "file").write_text("content")
    return path


def output(rootless, *words):
    process = rootless.popen(*words)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("flags", "script", "expected"),
    [
        ((), f"echo {NAME}", b"b\xffd\n"),
        (("-e", f"A={NAME}"), 'echo "$A"', b"b\xffd\n"),
        (("-v", f"{{}}/{NAME}:/mnt"), "cat /mnt/file", b"content"),
        (("--mount", f"type=bind,src={{}}/{NAME},dst=/mnt"), "cat /mnt/file", b"content"),
        (("-v", f"{{}}:/mnt/{NAME}"), "ls -d /mnt/b* | cat -v", b"/mnt/bM-^?d\n"),
    ],
)
def test_bytes_reach_the_container_as_they_are(
    rootless, tmp_path, directory, flags, script, expected
):
    words = [each.format(tmp_path) for each in flags]
    status, out, err = output(rootless, "run", "--rm", "--rootfs", "/", *words, "sh", "-c", script)
    assert (status, out, err) == (0, expected, b"")


def test_command_with_such_bytes_is_shown_escaped(rootless):
    assert rootless("run", "--name", "box", "--rootfs", "/", "true", NAME).status == 0
    assert r'"true b\xffd"' in rootless("ps", "-a").stdout
    assert rootless("ps", "-a", "--format", "{{.Command}}").stdout == '"true b\\xffd"\n'
    assert rootless("inspect", "box", "--format", "{{index .Args 0}}").stdout == "b\\xffd\n"
    for shown in (
        rootless("inspect", "box", "--format", "{{json .Args}}").stdout,
        json.dumps(json.loads(rootless("inspect", "box").stdout)[0]["Args"]),
    ):
        assert json.loads(shown) == [NAME]


@pytest.mark.parametrize("option", ["--label", "--annotation"])
def test_what_json_cannot_hold_is_refused_in_a_line(rootless, option):
    result = rootless("run", "--rm", "--rootfs", "/", option, f"k={NAME}", "true")
    what = option.removeprefix("--")
    assert (result.status, result.stderr) == (
        125,
        f"rootless: invalid {what} 'k=b\\xffd': not UTF-8\n",
    )


@pytest.mark.parametrize(
    "words",
    [
        ("rm", NAME),
        ("rmi", NAME),
        ("inspect", NAME),
        ("commit", NAME, "x"),
        ("tag", NAME, "x"),
        ("history", NAME),
        ("load", "-i", f"/nonexistent/{NAME}"),
        ("run", NAME, "true"),
        ("run", "--rootfs", "/", f"/nonexistent/{NAME}"),
        (NAME,),
        ("ps", f"--{NAME}"),
    ],
)
def test_error_shows_the_bytes_escaped(rootless, words):
    result = rootless(*words)
    assert result.status != 0
    assert r"b\xffd" in result.stderr
    assert "Traceback" not in result.stderr


def test_container_is_found_by_the_name_that_inspect_shows(rootless):
    assert rootless("run", "--name", "/box", "--rootfs", "/", "true").status == 0
    assert rootless("inspect", "/box", "--format", "{{.Name}}").stdout == "/box\n"
    assert rootless("ps", "-a", "--format", "{{.Names}}").stdout == "box\n"
    assert rootless("diff", "/box").status == 0
    assert rootless("rm", "/box").stdout == "/box\n"
    assert rootless("rm", "/box").stderr == "Error: No such container: /box\n"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["run", "--rm", "--rootfs", "/", "true"], 0, ""),
        (["run", "--rm", "--rootfs", "/", "-v", "/tmp:/mnt", "true"], 0, ""),
        (["ps"], 0, ""),
        (["images"], 0, ""),
        (["run", "--rootfs", "/", "-v", ".:/mnt", "true"], 125, "does not exist any more"),
        (["run", "--rootfs", "x", "true"], 125, "does not exist any more"),
        (["--root", "x", "ps"], 1, "does not exist any more"),
    ],
)
def test_command_works_in_a_directory_that_is_gone(rootless, tmp_path, words, status, message):
    gone = tmp_path / "gone"
    gone.mkdir()
    program = (
        "import os, sys; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]); "
        "os.execv(sys.executable, [sys.executable, '-m', 'rootless', *sys.argv[2:]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(gone), *words],
        env=rootless.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, message in done.stderr) == (status, True), done.stderr
    assert "Traceback" not in done.stderr


def test_changes_are_shown_escaped_on_a_terminal(rootless):
    script = r"touch '/tmp/a" + "\n\x1b[31mb" + NAME + "'"
    assert rootless("run", "--name", "box", "--rootfs", "/", "sh", "-c", script).status == 0
    assert b"A /tmp/a\n\x1b[31mbb\xffd\n" in output(rootless, "diff", "box")[1]
    master, slave = pty.openpty()
    assert rootless.popen("diff", "box", stdout=slave).wait(120) == 0
    os.close(slave)
    shown = os.read(master, 1 << 16)
    os.close(master)
    assert b"A /tmp/a\\n\\x1b[31mbb\\xffd\r\n" in shown
