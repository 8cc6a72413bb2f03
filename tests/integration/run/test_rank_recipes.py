"""Ranks of one step with the same command line: what one has found out in it is taken by the others, as far as it holds."""

import json
import os
import signal

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

RUN = ("run", "--join-tag", "step")


@pytest.fixture
def container(box):
    """The container of the step, which one rank keeps running."""
    first = box.popen(*RUN, "box:1", "sh", "-c", "echo up; read line")
    assert first.stdout.readline() == b"up\n"
    yield box
    first.communicate(b"\n", timeout=120)


def output(box, *arguments, variables=None, **popen):
    """What a rank writes, after making sure that it succeeds."""
    process = box.popen(*RUN, *arguments, env={**box.env, **(variables or {})}, **popen)
    text, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return text.decode()


def recipes(box):
    return sorted((box.runtime / "rootless/join").glob("*.recipe*"))


def test_recipe_is_there_as_long_as_the_container(box):
    first = box.popen(*RUN, "box:1", "sh", "-c", "echo up; read line")
    assert first.stdout.readline() == b"up\n"
    assert output(box, "box:1", "echo", "second") == "second\n"
    found = recipes(box)
    assert len(found) == 4  # of two command lines, with their locks
    assert {each.stat().st_mode & 0o777 for each in found} == {0o600}
    first.communicate(b"\n", timeout=120)
    wait_until(lambda: not recipes(box))


def test_each_rank_has_its_own_variables(container):
    asked = ("-e", "COLOR", "box:1", "sh", "-c", "echo $COLOR")
    for color in ("red", "red", "blue", "red"):
        assert output(container, *asked, variables={"COLOR": color}) == f"{color}\n"


def test_ranks_with_other_variables_have_a_recipe_of_their_own(container):
    before = len(recipes(container))
    for color in ("red", "blue", "red", "blue"):
        asked = ("box:1", "sh", "-c", "echo up")
        assert output(container, *asked, variables={"COLOR": color}) == "up\n"
    assert len(recipes(container)) == before + 4  # two, with their locks


def test_each_rank_has_its_own_variables_of_the_launcher(container):
    launched = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "1", "PMI_SIZE": "3"}
    for options in ((), ("-e", "PMI_RANK")):
        for number in ("0", "1", "2"):
            own = {**launched, "SLURM_PROCID": number, "PMI_RANK": number}
            asked = (*options, "box:1", "sh", "-c", "echo $PMI_RANK $SLURM_PROCID")
            assert output(container, *asked, variables=own) == f"{number} {number}\n"


def test_changed_files_are_read_again(container, tmp_path):
    file = tmp_path / "variables"
    asked = ("--env-file", str(file), "box:1", "sh", "-c", "echo $COLOR")
    for color in ("red", "green"):
        file.write_text(f"COLOR={color}\n")
        for _ in range(2):
            assert output(container, *asked) == f"{color}\n"


def test_relative_names_are_of_the_working_directory(container, tmp_path):
    for color in ("red", "green"):
        (tmp_path / color).mkdir()
        (tmp_path / color / "variables").write_text(f"COLOR={color}\n")
        for _ in range(2):
            asked = ("--env-file", "variables", "box:1", "sh", "-c", "echo $COLOR")
            assert output(container, *asked, cwd=tmp_path / color) == f"{color}\n"


def test_errors_are_the_same_again(container):
    for asked, status in (
        (("no-such-program",), 127),
        (("/etc",), 126),
    ):
        ends = [container(*RUN, "box:1", *asked) for _ in range(3)]
        assert {each.status for each in ends} == {status}
        assert len({each.stderr for each in ends}) == 1
        assert ends[0].stderr.startswith("rootless: ")


def test_failures_after_the_root_has_been_entered_are_told(container):
    """When nothing can be imported from files any more."""
    for options, status, text in (
        (("-w", "/no/such", "box:1", "true"), 127, "chdir to cwd"),
        (("-u", "nobody-here", "box:1", "true"), 125, "unable to find user nobody-here"),
        (("box:1", "/bin"), 126, "/bin"),
    ):
        ends = [container(*RUN, *options) for _ in range(2)]
        assert {each.status for each in ends} == {status}
        assert len({each.stderr for each in ends}) == 1
        assert text in ends[0].stderr


def test_limits_are_the_container_s_and_user_and_directory_the_command_line_s(box):
    options = ("--ulimit", "nofile=77")
    first = box.popen(*RUN, *options, "box:1", "sh", "-c", "echo up; read line")
    assert first.stdout.readline() == b"up\n"
    script = "ulimit -n; pwd; id -u; umask; echo $HOME"
    asked = (*options, "-w", "/tmp", "-u", "0", "box:1", "sh", "-c", script)
    shown = [output(box, *asked) for _ in range(2)]
    assert shown == ["77\n/tmp\n0\n0022\n/root\n"] * 2
    first.communicate(b"\n", timeout=60)


def test_no_rank_enters_a_paused_container(container):
    assert output(container, "box:1", "echo", "up") == "up\n"
    (name,) = container("ps", "-q").ok().stdout.split()
    container("pause", name).ok()
    refused = container(*RUN, "box:1", "echo", "up")
    assert refused.status == 125
    assert "is paused" in refused.stderr
    container("unpause", name).ok()
    assert output(container, "box:1", "echo", "up") == "up\n"


def test_container_of_a_killed_monitor_leaves_no_recipe_in_the_way(box):
    asked = (*RUN, "box:1", "sh", "-c", "echo up; read line")
    for _ in range(2):
        first = box.popen(*asked)
        assert first.stdout.readline() == b"up\n"
        (recipe,) = [each for each in recipes(box) if each.suffix == ".recipe"]
        second = box.popen(*asked)
        assert second.stdout.readline() == b"up\n"
        record = next((box.data / "rootless/containers").glob("*/container.json"))
        os.kill(json.loads(record.read_text())["monitor_pid"], signal.SIGKILL)
        for each in (first, second):
            each.communicate(b"\n", timeout=60)
        box("ps", "-a").ok()  # removes what is left of the container
    assert recipe.exists()
    third = box.popen(*asked)
    assert third.stdout.readline() == b"up\n"
    third.communicate(b"\n", timeout=60)
    wait_until(lambda: not recipes(box))


def test_descriptors_are_preserved_again(container):
    asked = (*RUN, "--preserve-fds", "1", "box:1", "sh", "-c", "cat <&3")
    for text in (b"first", b"second"):
        read, write = os.pipe()
        os.write(write, text)
        os.close(write)
        process = container.popen(
            *asked, preexec_fn=lambda read=read: os.dup2(read, 3), close_fds=False
        )
        os.close(read)
        assert process.communicate(timeout=120)[0] == text
    refused = [container(*RUN, "--preserve-fds", "9", "box:1", "true") for _ in range(2)]
    assert {each.status for each in refused} == {125}
    assert len({each.stderr for each in refused}) == 1


def test_others_go_on_when_the_rank_that_writes_the_recipe_is_killed(container):
    # Reads its command line until it is killed.
    slow = container.popen(*RUN, "--env-file", "/dev/stdin", "box:1", "true")
    wait_until(lambda: len([each for each in recipes(container) if each.suffix == ".lock"]) == 2)
    waiting = container.popen(*RUN, "--env-file", "/dev/stdin", "box:1", "true")
    slow.send_signal(signal.SIGKILL)
    slow.communicate(timeout=120)
    waiting.communicate(b"A=1\n", timeout=120)
    assert waiting.returncode == 0


def test_variables_from_a_stream_are_each_rank_s_own(container):
    asked = (*RUN, "--env-file", "/dev/stdin", "box:1", "sh", "-c", "echo $COLOR")
    for color in ("red", "green"):
        rank = container.popen(*asked)
        assert rank.communicate(f"COLOR={color}\n".encode(), timeout=60)[0] == f"{color}\n".encode()


def test_container_of_its_own_whose_command_has_the_option(box):
    first = box.popen("run", "--rm", "box:1", "sh", "-c", "echo up; read line", "--join")
    assert first.stdout.readline() == b"up\n"
    assert box("run", "--rm", "box:1", "sh", "-c", "echo up; read line", "--join").status == 1
    first.communicate(b"\n", timeout=120)


def test_failure_is_reported_where_there_are_no_packs(container, tmp_path):
    variables = {**container.env, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    for _ in range(2):
        process = container.popen(*RUN, "box:1", "/no/such", env=variables)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 127
        assert b"/no/such" in errors
        assert b"Traceback" not in errors
