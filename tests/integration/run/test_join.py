"""`run --join`: processes of a launcher share one container."""

import json
import os
import signal
import subprocess

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

RUN = ("run", "--join-tag", "step")


def rank(box, script, *options, **popen):
    return box.popen(*RUN, *options, "box:1", "sh", "-c", script, **popen)


def records(box):
    return [
        json.loads(path.read_text())
        for path in (box.data / "rootless/containers").glob("*/container.json")
    ]


def is_gone(box):
    return not records(box)


def finish(process):
    output, errors = process.communicate(timeout=120)
    return process.returncode, output.decode(), errors.decode()


def test_ranks_have_one_container_and_end_with_a_status_of_their_own(box):
    script = "echo $RANK $$; touch /tmp/rank$RANK; until [ -e /tmp/rank1 ] && [ -e /tmp/rank0 ]; do :; done; exit $((RANK + 3))"
    ranks = [rank(box, script, "--join-count", "2", "-e", f"RANK={number}") for number in range(2)]
    ends = [finish(each) for each in ranks]
    assert [status for status, _, _ in ends] == [3, 4]
    # The command is the process that the launcher has started.
    assert [output for _, output, _ in ends] == [
        f"{number} {each.pid}\n" for number, each in enumerate(ranks)
    ]
    wait_until(lambda: is_gone(box))
    assert [
        path.name for path in (box.runtime / "rootless/join").iterdir() if path.suffix != ".lock"
    ] == []


def test_ranks_that_start_at_one_time_make_one_container(box):
    script = "echo up; read line"
    ranks = [rank(box, script, "--join-count", "12") for _ in range(12)]
    for each in ranks:
        assert each.stdout.readline() == b"up\n"
    assert len(records(box)) == 1
    for each in ranks:
        each.communicate(b"\n", timeout=120)
        assert each.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_others_go_on_when_the_first_rank_is_killed(box, number):
    script = "echo up; read line; cat /bin/busybox | wc -c"
    first = rank(box, script)
    assert first.stdout.readline() == b"up\n"
    second = rank(box, script)
    assert second.stdout.readline() == b"up\n"
    first.send_signal(number)
    first.wait(120)
    assert first.returncode == -number
    third = rank(box, script)
    assert third.stdout.readline() == b"up\n"
    assert len(records(box)) == 1
    for each in (second, third):
        assert int(each.communicate(b"\n", timeout=120)[0]) > 100_000


def test_ranks_go_on_when_the_monitor_is_killed(box):
    process = rank(box, "echo up; read line; cat /bin/busybox | wc -c")
    assert process.stdout.readline() == b"up\n"
    os.kill(records(box)[0]["monitor_pid"], signal.SIGKILL)
    assert int(process.communicate(b"\n", timeout=120)[0]) > 100_000


def test_late_processes_and_exec_enter(box):
    first = rank(box, "echo up > /tmp/file; echo up; read line")
    assert first.stdout.readline() == b"up\n"
    assert finish(rank(box, "cat /tmp/file"))[1] == "up\n"
    name = records(box)[0]["name"]
    assert box("exec", name, "cat", "/tmp/file").ok().stdout == "up\n"
    box("stop", "-t", "5", name).ok()
    assert first.wait(120) == -signal.SIGTERM
    wait_until(lambda: is_gone(box))


def test_launcher_gives_tag_variables_and_descriptors(box):
    reader, writer = os.pipe()
    environ = box.env | {
        "PMI_RANK": "0",
        "PMI_SIZE": "1",
        "PMI_FD": str(writer),
        "MPI_LOCALNRANKS": "1",
        "SLURM_JOB_ID": "7",
        "OTHER": "x",
    }
    process = box.popen(
        "run", "--join", "-w", "/tmp", "box:1", "sh", "-c",
        "pwd; echo $PMI_RANK $SLURM_JOB_ID $OTHER; echo through >&$PMI_FD", env=environ, pass_fds=(writer,)
    )  # fmt: skip
    status, output, errors = finish(process)
    os.close(writer)
    assert (status, output, errors) == (0, "/tmp\n0 7\n", "")
    assert os.read(reader, 100) == b"through\n"
    os.close(reader)


def test_preserved_descriptors(box):
    environ = box.env
    argv = [*RUN, "--preserve-fds", "1", "box:1", "sh", "-c", "cat <&3; ls /proc/self/fd | wc -l"]
    reader, writer = os.pipe()
    os.write(writer, b"given\n")
    os.close(writer)

    def place():
        os.dup2(reader, 3)

    process = box.popen(*argv, env=environ, preexec_fn=place, pass_fds=(3,))
    os.close(reader)
    assert finish(process)[1].splitlines()[0] == "given"
    refused = box(*RUN, "--preserve-fds", "5", "box:1", "true")
    assert "descriptor" in refused.stderr
    assert "is not open" in refused.stderr


def test_errors_are_those_of_run(box):
    assert box(*RUN, "box:1", "nosuch").status == 127
    assert box(*RUN, "box:1", "/etc/passwd").status == 126
    box_script = "printf '#!/no/such\\n' > /x; printf text > /y; chmod +x /x /y; echo up; read line"
    process = rank(box, box_script)
    assert process.stdout.readline() == b"up\n"
    assert box(*RUN, "box:1", "/x").status == 127
    assert "exec format error" in box(*RUN, "box:1", "/y").stderr
    process.communicate(b"\n", timeout=120)
    assert "no launcher" in box("run", "--join", "box:1", "true").stderr
    assert "conflicting" in box(*RUN, "-d", "box:1", "true").stderr


def test_run_that_would_be_worlds_of_one_rank_says_so_once(box):
    environ = box.env | {"PMI_SIZE": "2", "PMI_FD": "2", "MPI_LOCALNRANKS": "2"}

    def run(number, *options, **more):
        process = box.popen(
            "run", "--rm", *options, "box:1", "sh", "-c", "echo $PMI_RANK",
            env=environ | {"PMI_RANK": str(number)} | more, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return finish(process)

    assert "2 ranks of hydra" in run(0)[2]
    assert run(1)[2] == ""
    assert run(0, ROOTLESS_JOIN="auto")[1:] == ("0\n", "")


def test_shared_read_only_image_and_ranks(box):
    assert finish(rank(box, "touch /x; echo $?", "--read-only"))[1] == "1\n"
    wait_until(lambda: is_gone(box))
