"""`logs`: what a container has written, in the formats and with the options of docker."""

import json
import os
import re
import resource
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")


@pytest.fixture
def logged(rootless):
    """Runs a script in a container named `held`, with options."""

    def run(script, *options):
        words = ("run", "--name", "held", *options, "--rootfs", "/", "sh", "-c", script)
        return rootless(*words).ok()

    return run


def has_open(pid, path):
    """Whether the process has the file open, at its end."""
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") == path:
                return "pos:\t0\n" not in Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text()
    return False


def log_path(rootless):
    return rootless("inspect", "-f", "{{.LogPath}}", "held").ok().stdout.strip()


def test_streams_are_kept_apart(rootless, logged):
    logged("echo out; echo err >&2")
    result = rootless("logs", "held").ok()
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    assert rootless("container", "logs", "held").ok().stdout == "out\n"


def test_file_is_dockers(rootless, logged):
    logged(
        "echo out", "--label", "a=b", "-e", "E=1", "--log-opt", "labels=a,c", "--log-opt", "env=E"
    )
    path = log_path(rootless)
    identity = rootless("inspect", "-f", "{{.Id}}", "held").ok().stdout.strip()
    assert path.endswith(f"/{identity}/{identity}-json.log")
    with open(path, encoding="utf-8") as file:
        line = file.read()
    assert re.fullmatch(
        r'\{"log":"out\\n","stream":"stdout","attrs":\{"E":"1","a":"b"\},'
        r'"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z"\}\n',
        line,
    )
    shown = rootless("inspect", "-f", "{{json .HostConfig.LogConfig}}", "held").ok().stdout
    assert json.loads(shown) == {"Type": "json-file", "Config": {"env": "E", "labels": "a,c"}}
    detailed = rootless("logs", "-t", "--details", "held").ok().stdout
    assert re.fullmatch(r"\S{29}Z E=1,a=b out\n", detailed)


def test_details_are_those_that_the_options_name(rootless, logged):
    logged(
        "echo hi",
        *("-e", "A1=x", "-e", "A2=a b,c=d&e", "-e", "B=z", "--label", "bx=1", "--label", "c=2"),
        *("--log-opt", "env-regex=^A", "--log-opt", "labels-regex=^b", "--log-opt", "labels=c"),
        *("--log-opt", "tag={{.Name}}/{{.ID}}", "--log-opt", "mode=non-blocking"),
    )
    identity = rootless("inspect", "-f", "{{.Id}}", "held").ok().stdout[:12]
    details = f"A1=x,A2=a+b%2Cc%3Dd%26e,bx=1,c=2,tag=held%2F{identity}"
    assert rootless("logs", "--details", "held").ok().stdout == f"{details} hi\n"
    rootless("start", "-a", "held").ok()
    assert rootless("logs", "--details", "held").ok().stdout == f"{details} hi\n" * 2


def test_details_of_entries_without_attributes_are_empty(rootless, logged):
    logged("echo hi")
    assert rootless("logs", "--details", "held").ok().stdout == " hi\n"
    assert re.fullmatch(r"\S{29}Z  hi\n", rootless("logs", "-t", "--details", "held").stdout)


@pytest.mark.parametrize("driver", ["json-file", "k8s-file"])
def test_every_byte_comes_back(rootless, tmp_path, driver):
    data = bytes(range(256)) * 500 + b"no end"
    (tmp_path / "data").write_bytes(data)
    words = ("--log-driver", driver, "--rootfs", "/", "cat", "/data/data")
    process = rootless.popen("run", "--name", "held", "-v", f"{tmp_path}:/data", *words)
    assert process.communicate(timeout=120)[0] == data
    logs = rootless.popen("logs", "held")
    assert logs.communicate(timeout=120)[0] == data


def test_terminal_is_logged(rootless, logged):
    logged("echo out; echo err >&2", "-t")
    result = rootless("logs", "held").ok()
    assert (result.stdout, result.stderr) == ("out\r\nerr\r\n", "")


def test_tail_counts_over_rotated_and_compressed_files(rootless, logged):
    options = ("max-size=1k", "max-file=3", "compress=true")
    logged("seq 100", *(word for each in options for word in ("--log-opt", each)))
    path = log_path(rootless)
    wait_until(lambda: os.path.exists(f"{path}.1.gz") and os.path.exists(f"{path}.2.gz"))
    everything = rootless("logs", "held").ok().stdout.split()
    assert everything == [str(number) for number in range(int(everything[0]), 101)]
    assert len(everything) < 60
    assert rootless("logs", "-n", "25", "held").ok().stdout.split() == everything[-25:]
    assert rootless("logs", "-n", "0", "held").ok().stdout == ""
    assert rootless("logs", "--tail", "all", "held").ok().stdout.split() == everything


def test_since_and_until_choose_entries(rootless, logged):
    logged("echo first; sleep 1.1; echo second")
    times = [line.split()[0] for line in rootless("logs", "-t", "held").ok().stdout.splitlines()]
    assert rootless("logs", "--since", times[1], "held").ok().stdout == "second\n"
    assert rootless("logs", "--until", times[0], "held").ok().stdout == "first\n"
    assert rootless("logs", "--since", "1h", "held").ok().stdout == "first\nsecond\n"
    assert rootless("logs", "--until", "1h", "held").ok().stdout == ""
    assert rootless("logs", "--since", str(time.time() + 100), "held").ok().stdout == ""


@pytest.mark.parametrize("option", ["since", "until"])
def test_time_that_is_none_is_named(rootless, logged, option):
    logged("true")
    result = rootless("logs", f"--{option}", "x", "held")
    assert result.stderr.startswith(
        f'rootless: invalid value for "{option}": failed to parse value as time or duration: "x"'
    )


def test_follow_goes_on_across_rotation_to_the_end(rootless):
    script = "for i in $(seq 200); do echo $i; sleep 0.01; done"
    words = ("--log-opt", "max-size=2k", "--log-opt", "max-file=20", "--rootfs", "/", "sh", "-c")
    process = rootless.popen("run", "--name", "held", *words, script)
    assert os.read(process.stdout.fileno(), 2)[:1] == b"1"
    followed = rootless("logs", "-f", "held").ok().stdout
    assert followed.split() == [str(number) for number in range(1, 201)]
    process.communicate(timeout=120)
    assert rootless("logs", "-f", "held").ok().stdout == followed


def test_followed_output_is_shown_as_it_comes(rootless):
    process = rootless.popen("run", "-i", "--name", "held", "--rootfs", "/", "cat")
    process.stdin.write(b"one\n")
    process.stdin.flush()
    assert os.read(process.stdout.fileno(), 9) == b"one\n"
    follower = rootless.popen("logs", "-f", "-n", "0", "held")
    wait_until(lambda: rootless("logs", "held").ok().stdout == "one\n")
    wait_until(lambda: has_open(follower.pid, log_path(rootless)))
    process.stdin.write(b"two\n")
    process.stdin.flush()
    assert os.read(follower.stdout.fileno(), 9) == b"two\n"
    process.communicate(timeout=120)
    assert follower.wait(120) == 0


@pytest.mark.parametrize("driver", ["none", "passthrough"])
def test_driver_without_a_log(rootless, logged, driver):
    assert logged("echo hi", "--log-driver", driver).stdout == "hi\n"
    assert log_path(rootless) == ""
    result = rootless("logs", "held")
    assert result.stderr == "rootless: configured logging driver does not support reading\n"
    assert result.status != 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--log-opt", "foo=1"), "unknown log opt 'foo' for json-file log driver"),
        (("--log-driver", "foo"), 'error looking up logging plugin foo: plugin "foo" not found'),
        (("--log-opt", "max-file=0"), "max-file cannot be less than 1"),
        (("--log-opt", "max-size=0"), "max-size must be a positive number"),
        (("--log-opt", "max-file=x"), 'max-file: parsing "x": invalid syntax'),
        (("--log-opt", "compress=x"), 'compress: parsing "x": invalid syntax'),
        (("--log-opt", "max-size=x"), "invalid size: 'x'"),
        (("--log-opt", "max-size=-1"), "invalid size: '-1'"),
        (("--log-opt", "max-size"), "invalid size: ''"),
        (("--log-opt", ""), "unknown log opt '' for json-file log driver"),
        (("--log-opt", "mode=x"), "logger: logging mode not supported: x"),
        (
            ("--log-opt", "max-buffer-size=1m"),
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
        (
            ("--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=x"),
            "error parsing option max-buffer-size: invalid size: 'x'",
        ),
        (("--log-opt", "env-regex=("), "env-regex: error parsing regexp '('"),
        (("--log-opt", "tag={{.Foo}}"), "template: log-tag:1:"),
        (
            ("--log-opt", "compress=true"),
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        (
            ("--log-driver", "none", "--log-opt", "max-size=1k"),
            "invalid logging opts for driver none",
        ),
    ],
)
def test_wrong_option_is_refused_in_dockers_words(rootless, options, message):
    result = rootless("run", "--rm", *options, "--rootfs", "/", "true")
    assert result.status == 125
    assert message in result.stderr
    assert rootless("ps", "-aq").ok().stdout == ""


def test_unknown_container(rootless):
    result = rootless("logs", "nosuch")
    assert (result.status, result.stderr) == (1, "rootless: No such container: nosuch\n")


def test_log_on_a_full_disk_does_not_stop_the_container(rootless):
    # RLIMIT_FSIZE of the monitor is that of `run`: its writes fail as on a full disk.
    words = [*("run", "--name", "held", "--ulimit", "fsize=-1"), "--rootfs", "/"]
    process = rootless.popen(
        *words,
        *("sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x; exit 3"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, -1)),
        stdin=subprocess.DEVNULL,
    )
    assert process.communicate(timeout=120)[0] == b"x" * 200_000
    assert process.returncode == 3


def test_container_in_the_background_is_logged_over_its_restarts(rootless):
    rootless("run", "-d", "--name", "held", "--rootfs", "/", "echo", "out").ok()
    rootless("wait", "held").ok()
    assert rootless("logs", "held").ok().stdout == "out\n"
    rootless("start", "held").ok()
    rootless("wait", "held").ok()
    assert rootless("logs", "held").ok().stdout == "out\nout\n"


def test_follow_goes_on_while_the_restart_policy_starts_it_again(rootless):
    script = "echo x; exit 1"
    words = ("--restart", "on-failure:2", "--name", "held", "--rootfs", "/", "sh", "-c", script)
    rootless("run", "-d", *words).ok()
    assert rootless("logs", "-f", "held").ok().stdout == "x\n" * 3


def test_log_that_had_no_room_goes_on_when_there_is_some(rootless):
    """As on a full disk: the entries are lost, one in part, and the next are written."""
    script = "seq -f %0100g 2000; echo over; read line; echo end"
    process = rootless.popen(
        *(
            "run",
            "-i",
            "--name",
            "held",
            "--ulimit",
            "fsize=-1",
            "--rootfs",
            "/",
            "sh",
            "-c",
            script,
        ),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, -1)),
    )
    data = b""
    while not data.endswith(b"over\n"):
        piece = os.read(process.stdout.fileno(), 65536)
        assert piece, process.communicate(timeout=120)
        data += piece
    (record,) = (rootless.data / "rootless/containers").glob("*/container.json")
    monitor = json.loads(record.read_text())["monitor_pid"]
    resource.prlimit(monitor, resource.RLIMIT_FSIZE, (-1, -1))
    assert process.communicate(b"go\n", timeout=120)[0] == b"end\n"
    shown = rootless("logs", "held").ok().stdout.splitlines()
    assert shown[0] == f"{1:0100}"
    assert 300 < len(shown) < 1000
    assert shown[-1] == "end"
    assert (
        "writing the container's log: file too large"
        in (record.parent / "engine.log").read_text().lower()
    )


def test_log_that_cannot_be_read_is_named(rootless, logged):
    logged("echo hi")
    path = log_path(rootless)
    os.chmod(path, 0)
    result = rootless("logs", "held")
    assert (result.stdout, result.status) == ("", 1)
    assert result.stderr == f"rootless: {path}: permission denied\n"
    os.unlink(path)
    assert rootless("logs", "held").ok().stdout == ""
