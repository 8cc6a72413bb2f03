"""`top` and `stats`: what runs in a container, and what it uses."""

import json
import os
import re

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")


@pytest.fixture
def container(rootless):
    def start(*options, name="c1", command=("sleep", "1000")):
        rootless.popen("run", "--rm", "--name", name, *options, "--rootfs", "/", *command)
        wait_until(lambda: rootless("exec", name, "true").status == 0)

    return start


def rows(output):
    titles, *lines = output.splitlines()
    return titles.split(), [line.split(None, 7) for line in lines]


def test_top_lists_the_processes_as_ps_does(rootless, container):
    container("--network", "none")
    rootless("exec", "-d", "c1", "sh", "-c", "sleep 777; true").ok()
    # The shell's child is another shell until it executes sleep.
    wait_until(lambda: "sleep 777" in [row[7] for row in rows(rootless("top", "c1").stdout)[1]])
    titles, found = rows(rootless("top", "c1").ok().stdout)
    assert titles == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert [row[7] for row in found] == ["sleep 1000", "sh -c sleep 777; true", "sleep 777"]
    assert {row[0] for row in found} == {"root"}
    assert all(re.fullmatch(r"\d\d:\d\d", row[4]) and row[6] == "00:00:00" for row in found)
    assert found[2][2] == found[1][1]
    with open(f"/proc/{found[0][1]}/cmdline", "rb") as file:
        assert file.read() == b"sleep\x001000\0"
    assert rows(rootless("container", "top", "c1", "-ef").ok().stdout)[1] == found


@pytest.mark.needs("subuid")
def test_top_has_the_users_of_the_container_and_terminals(rootless, container):
    container()
    rootless("exec", "-dt", "-u", "daemon", "c1", "sleep", "888").ok()

    def sleeping():
        return [row for row in rows(rootless("top", "c1").ok().stdout)[1] if row[7] == "sleep 888"]

    (row,) = wait_until(sleeping)
    assert (row[0], row[5]) == ("daemon", "pts/0")


def test_top_finds_processes_in_namespaces_of_their_own(rootless, container):
    container("--privileged")
    rootless("exec", "-d", "--privileged", "c1", "unshare", "-Urpf", "sleep", "666").ok()
    wait_until(
        lambda: sum("sleep 666" in line for line in rootless("top", "c1").stdout.splitlines()) == 2
    )


@pytest.mark.parametrize("options", [("-o", "pid,comm"), ("aux",)])
def test_top_gives_other_options_to_ps(rootless, container, options):
    container()
    output = rootless("top", "c1", *options).ok().stdout
    assert "PID" in output.splitlines()[0].split()
    assert [line for line in output.splitlines()[1:] if "sleep" not in line] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("c1", "-o", "comm"), "Couldn't find PID field in ps output"),
        (("c1", "-o", "bogus"), "error running ps: error: unknown user-defined format"),
        (("nope",), "No such container: nope"),
    ],
)
def test_top_refuses(rootless, container, words, message):
    container()
    done = rootless("top", *words)
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr.startswith(f"rootless: {message}")


def test_top_of_a_container_that_has_ended(rootless):
    rootless("run", "--name", "c1", "--rootfs", "/", "true").ok()
    done = rootless("top", "c1")
    assert done.status == 1
    assert done.stderr.endswith(" is not running\n")


TITLES = "CONTAINER ID NAME CPU % MEM USAGE / LIMIT MEM % NET I/O BLOCK I/O PIDS"


def test_stats_once(rootless, container):
    container("--network", "none")
    titles, row = rootless("stats", "--no-stream").ok().stdout.splitlines()
    assert " ".join(titles.split()) == TITLES
    cells = re.split(r" {2,}", row.strip())
    assert len(cells[0]) == 12
    assert cells[1] == "c1"
    assert re.fullmatch(r"\d+\.\d\d%", cells[2])
    assert re.fullmatch(r"[\d.]+[KM]iB / [\d.]+GiB", cells[3])
    assert re.fullmatch(r"\d+\.\d\d%", cells[4])
    assert cells[5] == "0B / 0B"
    assert cells[7] == "1"


def test_stats_measure_processor_time_and_processes(rootless, container):
    container(command=("sh", "-c", "while :; do :; done & while :; do :; done"))
    one = json.loads(rootless("stats", "--no-stream", "--format", "json", "c1").ok().stdout)
    assert one["PIDs"] == "2"
    assert float(one["CPUPerc"].removesuffix("%")) > 0
    assert one["FileServerMemUsage"].endswith("MiB")
    assert one["FileServerCPUPerc"].endswith("%")
    assert set(one) > {
        "BlockIO",
        "CPUPerc",
        "Container",
        "ID",
        "MemPerc",
        "MemUsage",
        "Name",
        "NetIO",
    }


def test_stats_measure_memory(rootless, container):
    script = "x=$(head -c 60000000 /dev/zero | tr '\\0' a); echo ready > /tmp/ready; sleep 1000; echo ${#x}"
    container(command=("bash", "-c", script))
    wait_until(lambda: rootless("exec", "c1", "test", "-e", "/tmp/ready").status == 0)
    usage = rootless("stats", "--no-stream", "--format", "{{.MemUsage}}", "c1").ok().stdout
    size, unit = re.match(r"([\d.]+)(\w+) / ", usage).groups()
    assert unit == "MiB"
    assert float(size) > 55


def test_stats_of_all_and_of_those_that_have_ended(rootless, container):
    container()
    rootless("run", "--name", "c2", "--rootfs", "/", "true").ok()
    form = ("--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemUsage}}")
    assert [line.split()[0] for line in rootless("stats", *form).ok().stdout.splitlines()] == ["c1"]
    names = [line.split()[0] for line in rootless("stats", "-a", *form).ok().stdout.splitlines()]
    assert names == ["c2", "c1"]
    assert rootless("stats", *form, "c2").ok().stdout == "c2 0 0B / 0B\n"


def test_stats_no_trunc_and_table(rootless, container):
    container()
    identity = rootless("ps", "-q", "--no-trunc").stdout.strip()
    assert (
        rootless("stats", "--no-stream", "--no-trunc", "--format", "{{.ID}}").stdout.strip()
        == identity
    )
    lines = rootless("stats", "--no-stream", "--format", "table {{.Name}}\t{{.PIDs}}").stdout.split(
        "\n"
    )
    assert lines[0].split() == ["NAME", "PIDS"]
    assert lines[1].split() == ["c1", "1"]


def test_stats_refuse(rootless):
    done = rootless("stats", "--no-stream", "nope")
    assert (done.status, done.stderr) == (1, "rootless: No such container: nope\n")
    assert rootless("stats", "--no-stream", "--format", "{{.Nope}}").status == 1
    assert rootless("stats", "--no-stream").stdout.split("\n")[0].startswith("CONTAINER ID")


def test_stats_stream(rootless, container):
    container()
    process = rootless.popen("stats", "--format", "{{.Name}} {{.PIDs}}")
    assert [process.stdout.readline() for _ in range(3)] == [b"c1 1\n"] * 3
    os.kill(process.pid, 2)
    assert process.wait(120) == 130
    assert b"Traceback" not in process.stderr.read()
