"""Builds that fail: BuildKit's message, the lines of the Dockerfile, status 1, and nothing left behind."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


def left_behind(builds):
    store = builds.rootless.data / "rootless"
    return [each for each in os.listdir(store / "tmp") if each != ".lock"]


def test_a_failing_run_shows_its_output_its_place_and_its_status(builds):
    done = builds("FROM base:1\nRUN echo one; echo two >&2; exit 3\nRUN echo never\n")
    assert done.status == 1
    assert "never" not in done.stderr.partition("------")[0]
    end = done.stderr[done.stderr.index("------") :]
    lines = [line.rstrip() for line in end.splitlines()]
    assert lines[0:2] == ["------", " > [2/3] RUN echo one; echo two >&2; exit 3:"]
    assert [line.split(" ", 1)[1] for line in lines[2:4]] == ["one", "two"]
    assert lines[4:] == [
        "------",
        "Dockerfile:2",
        "--------------------",
        "   1 |     FROM base:1",
        "   2 | >>> RUN echo one; echo two >&2; exit 3",
        "   3 |     RUN echo never",
        "   4 |",
        "--------------------",
        (
            'ERROR: failed to build: failed to solve: process "/bin/sh -c echo one; echo two >&2; exit 3" '
            "did not complete successfully: exit code: 3"
        ),
    ]
    assert builds.rootless("image", "ls", "-q", "t").stdout == ""
    assert left_behind(builds) == []


@pytest.mark.parametrize(
    ("dockerfile", "message", "line"),
    [
        ("FROM base:1\nRUNN echo\n", "dockerfile parse error on line 2: unknown instruction: RUNN", 2),
        ("FROM base:1\nCOPY nofile /x\n", '"/nofile": not found', 2),
        ("FROM base:1\n\nRUN [\"/nosuch\"]\n", 'process "/nosuch" did not complete successfully: exit code: 1', 3),
        (
            "FROM base:1\nUSER nosuch\nRUN id\n",
            ('process "/bin/sh -c id" did not complete successfully: unable to find user nosuch: '
            "no matching entries in passwd file"),
            3,
        ),
        ("FROM base:1\nCOPY --chown=nosuch Dockerfile /x\n", "unable to find user nosuch", 2),
        ("FROM localhost:1/nosuch:1\n", "localhost:1/nosuch:1: failed to resolve source metadata", 1),
        ("FROM base:1 AS a\nCOPY --from=a /x /y\n", "circular dependency detected on stage: a", 2),
        ("FROM base:1\nCOPY --from=3 /x /y\n", "invalid stage index 3", 2),
        ("FROM base:1\nCOPY Dockerfile /etc/passwd/x\n", "mkdir /etc/passwd: not a directory", 2),
        ("FROM base:1\nWORKDIR /etc/passwd/x\n", "mkdir /etc/passwd: not a directory", 2),
        ("", "the Dockerfile cannot be empty", 0),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_its_place(builds, dockerfile, message, line):
    done = builds(dockerfile)
    assert done.status == 1
    last = done.stderr.splitlines()
    assert any(
        text.startswith("ERROR: failed to build: failed to solve: ") and message in text
        for text in last
    ), done.stderr
    assert (f"Dockerfile:{line}" in last) == bool(line)
    assert left_behind(builds) == []


def test_a_target_that_does_not_exist_is_refused(builds):
    done = builds("FROM base:1 AS real\n", "--target", "reel")
    assert done.status == 1
    assert 'target stage "reel" could not be found (did you mean real?)' in done.stderr


def test_what_is_missing_is_named(builds, tmp_path):
    assert builds.rootless("build", str(tmp_path / "nowhere")).stderr.startswith(
        "rootless: unable to prepare context: path"
    )
    done = builds.rootless("build", str(tmp_path))
    assert done.status == 1
    assert "failed to read dockerfile: open Dockerfile: no such file or directory" in done.stderr


def test_a_context_that_cannot_be_read_is_an_error_with_its_path(builds):
    dockerfile = "FROM base:1\nCOPY d /d\n"
    context = builds.context(dockerfile, {"d/e/file": "x"})
    for path in (context / "d/e/file", context / "d/e"):
        mode = path.stat().st_mode
        path.chmod(0)
        try:
            done = builds.rootless("build", str(context))
        finally:
            path.chmod(mode)
        assert done.status == 1
        assert f"permission denied ({path.relative_to(context)})" in done.stderr
        assert "Dockerfile:2" in done.stderr
        assert left_behind(builds) == []
    builds.ok(dockerfile)


def test_an_interrupted_build_leaves_no_process_and_no_directory(builds):
    context = builds.context("FROM base:1\nRUN echo started; exec sleep 1000\n")
    process = builds.rootless.popen("build", str(context))
    wait_until(lambda: process.stderr.readline().endswith(b" started\n"))
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(120) != 0
    assert left_behind(builds) == []


def test_a_killed_build_is_swept_by_the_next(builds):
    context = builds.context("FROM base:1\nRUN echo started; exec sleep 1000\n")
    process = builds.rootless.popen("build", str(context))
    wait_until(lambda: process.stderr.readline().endswith(b" started\n"))
    process.kill()
    process.wait(120)
    builds.ok("FROM base:1\nRUN true\n")
    assert left_behind(builds) == []


def test_processes_that_a_run_leaves_end_with_it(builds):
    builds.ok("FROM base:1\nRUN (sleep 1000; echo late > /late) & echo done > /done\n")
    assert builds.sh("ls / | grep -c -e late -e done") == "1\n"


def test_the_container_of_a_failed_step_can_be_kept(builds):
    dockerfile = (
        "FROM base:1 AS other\nRUN true\nFROM base:1\nARG A=arg\nENV E=env\nWORKDIR /w\n"
        "RUN --mount=type=secret,id=s cp /run/secrets/s /dev/null; "
        "echo $A $E > left; rm /etc/group; exit 7\nCOPY --from=other / /\n"
    )
    secret = builds.directory.with_name("secret")
    secret.write_text("hidden")
    flags = ("--on-fail", "keep", "--secret", f"id=s,src={secret}")
    done = builds(dockerfile, *flags)
    assert done.status == 1
    assert "did not complete successfully: exit code: 7" in done.stderr
    name = re.search("the container of the step is ([a-z_0-9]+):", done.stderr)[1]
    listed = builds.rootless("ps", "-a", "--format", "{{.Names}} {{.State}}").stdout
    assert listed == f"{name} created\n"
    assert builds.rootless("commit", name, "t").status == 0
    assert builds.sh("pwd; cat left; ls /etc/group /run/secrets/s 2>/dev/null || true").split() == [
        *("/w", "arg", "env"),
    ]
    assert builds.rootless("start", "-a", name).status == 7
    assert builds.rootless("rm", name).status == 0


def test_the_container_of_a_failed_step_of_a_parallel_stage_is_kept(builds):
    dockerfile = (
        "FROM base:1 AS one\nRUN touch /one && false\nFROM base:1 AS two\nRUN true\n"
        "FROM base:1\nCOPY --from=one / /\nCOPY --from=two / /\n"
    )
    done = builds(dockerfile, "--on-fail", "keep", "--jobs", "2")
    assert done.status == 1
    name = re.search("the container of the step is ([a-z_0-9]+):", done.stderr)[1]
    assert builds.rootless("commit", name, "t").status == 0
    assert builds.sh("ls /one").split() == ["/one"]


def test_a_shell_is_opened_where_a_step_failed(builds):
    dockerfile = 'FROM base:1\nENV PS1=rea"d"y>\nWORKDIR /w\nRUN echo of the step > left; false\n'
    context = builds.context(dockerfile)
    argv = [sys.executable, "-m", "rootless", "build", "--on-fail", "shell", str(context)]
    master, slave = pty.openpty()
    process = subprocess.Popen(
        argv, env=builds.rootless.env, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    shown = _read_until(master, b"ready>")
    os.write(master, b"cat left | tr a-z A-Z; exit\n")
    _read_until(master, b"OF THE STEP")
    shown += _read_until(master, None)
    os.close(master)
    assert process.wait(120) == 1
    name = re.search(rb"the container of the step is ([a-z_0-9]+):", shown)[1].decode()
    assert builds.rootless("commit", name, "t").status == 0
    assert builds.sh("cat left") == "of the step\n"


def _read_until(descriptor: int, text: bytes | None) -> bytes:
    """What a terminal shows up to a text, or to its end."""
    data = b""
    while text is None or text not in data:
        try:
            piece = os.read(descriptor, 4096)
        except OSError:  # EIO: the other side has been closed
            piece = b""
        if not piece:
            assert text is None, data
            break
        data += piece
    return data


def test_without_a_terminal_the_container_is_kept_for_a_shell(builds):
    done = builds("FROM base:1\nRUN echo x > /left; false\n", "--on-fail", "shell")
    assert done.status == 1
    name = re.search("`rootless start -ai ([a-z_0-9]+)` opens a shell", done.stderr)[1]
    listed = builds.rootless("ps", "-a", "--format", "{{.Names}} {{.Command}}").stdout
    assert listed.split() == [name, '"/bin/sh"']


def test_a_step_whose_files_cannot_be_kept_fails_for_its_own_reason(builds):
    """A limit of the size of files stands for the end of the disk."""
    write = "head -c 1500000 /dev/zero"
    context = builds.context(f"FROM base:1\nRUN {write} > /a; {write} > /b; exit 7\n")
    script = f"ulimit -f 2000; exec {sys.executable} -m rootless build --on-fail keep {context}"
    done = subprocess.run(
        ["bash", "-c", script],
        env=builds.rootless.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "did not complete successfully: exit code: 7" in done.stderr
    assert "the container of the step could not be kept: cannot store the layer" in done.stderr
    assert builds.rootless("ps", "-aq").stdout == ""


def test_without_a_failure_no_container_is_kept(builds):
    builds.ok("FROM base:1\nRUN true\n", "--on-fail", "keep")
    assert builds("FROM base:1\nRUN false\n").status == 1
    assert builds.rootless("ps", "-aq").stdout == ""
    done = builds("FROM base:1\n", "--on-fail", "nonsense")
    assert done.status == 1
    assert "invalid action 'nonsense' for --on-fail" in done.stderr
