"""`start -a` and `-i`, as Docker 28.5 was seen to do it."""

import os
import pty
import signal

import pytest

pytestmark = pytest.mark.needs("userns", "fuse")


@pytest.fixture
def created(rootless):
    """Creates a container named `held` of a script, with options."""

    def create(script, *options):
        words = ("create", *options, "--name", "held", "--rootfs", "/", "sh", "-c")
        return rootless(*words, script).ok()

    return create


def status_of(rootless):
    return rootless("inspect", "-f", "{{.State.Status}}", "held").ok().stdout.strip()


def with_input(rootless, data, *words):
    process = rootless.popen(*words)
    out, err = process.communicate(data, timeout=120)
    return out, err, process.returncode


@pytest.mark.parametrize("words", [("start", "-a"), ("container", "start", "--attach")])
def test_output_and_status_are_the_containers(rootless, created, words):
    created("echo out; echo err >&2; exit 7")
    for _ in range(2):  # at once, when the monitor of the first run has hardly ended
        result = rootless(*words, "held")
        assert (result.stdout, result.stderr, result.status) == ("out\n", "err\n", 7)
    assert rootless("logs", "held").ok().stdout == "out\nout\n"


def test_input_ends_with_the_callers(rootless, created):
    created("cat", "-i")
    for option in ("-ai", "-i"):
        assert with_input(rootless, b"hello\n", "start", option, "held") == (b"hello\n", b"", 0)


def test_input_that_is_not_attached_does_not_end(rootless, created):
    created("cat", "-i")
    rootless("start", "held").ok()
    assert status_of(rootless) == "running"
    assert with_input(rootless, b"hello\n", "attach", "held") == (b"hello\n", b"", 0)
    assert status_of(rootless) == "exited"


def test_input_of_a_container_in_the_background_outlives_a_client(rootless):
    words = ("-i", "--name", "held", "--rootfs", "/", "sh", "-c")
    rootless("run", "-d", *words, "while read line; do echo got $line; done").ok()
    for line in (b"one", b"two"):
        client = rootless.popen("attach", "held")
        client.stdin.write(line + b"\n")
        client.stdin.close()
        assert os.read(client.stdout.fileno(), 99) == b"got " + line + b"\n"
        client.kill()
        client.wait()
    rootless("rm", "-f", "held").ok()


def test_container_that_is_removed_at_its_end(rootless, created):
    created("echo x; exit 4", "--rm")
    result = rootless("start", "-a", "held")
    assert (result.stdout, result.status) == ("x\n", 4)
    assert rootless("ps", "-aq").ok().stdout == ""


LOOP = "trap 'echo end; exit 3' TERM; while :; do echo x; sleep 0.05; done"


def test_container_that_runs_is_attached_to(rootless, created):
    created(LOOP)
    rootless("start", "held").ok()
    clients = [rootless.popen(*words, "held") for words in (("start", "-a"), ("attach",))]
    for client in clients:
        assert os.read(client.stdout.fileno(), 2) == b"x\n"
    rootless("stop", "held").ok()
    for client in clients:
        out, err = client.communicate(timeout=120)
        assert (out[-4:], err, client.returncode) == (b"end\n", b"", 3)


def test_container_that_is_just_ending_is_started_again(rootless):
    rootless("create", "--name", "web", "--rootfs", "/", "sh", "-c", "exit 3").ok()
    for _ in range(15):
        rootless("start", "web").ok()
        again = rootless("start", "-a", "web")
        assert (again.status, again.stderr) == (3, "")


def test_signal_reaches_the_container_which_outlives_a_client_that_is_killed(rootless, created):
    created(LOOP)
    for number in (signal.SIGKILL, signal.SIGTERM):
        client = rootless.popen("start", "-a", "held")
        assert os.read(client.stdout.fileno(), 2) == b"x\n"
        client.send_signal(number)
        client.communicate(timeout=120)
    assert client.returncode == 3
    assert rootless("logs", "-n", "1", "held").ok().stdout == "end\n"


def test_client_without_signals_ends_alone(rootless, created):
    created(LOOP)
    client = rootless.popen("start", "-a", "--sig-proxy=false", "held")
    assert os.read(client.stdout.fileno(), 2) == b"x\n"
    client.send_signal(signal.SIGTERM)
    client.communicate(timeout=120)
    assert client.returncode == -signal.SIGTERM
    assert status_of(rootless) == "running"


def test_terminal_is_the_callers(rootless, created):
    created("read line; echo got $line; exit 4", "-it")
    master, slave = pty.openpty()
    process = rootless.popen("start", "-ai", "held", stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    os.write(master, b"typed\r")
    shown = b""
    try:
        while b"got typed" not in shown and (piece := os.read(master, 4096)):
            shown += piece
    except OSError:
        pass  # EIO: the last process has closed it
    assert process.wait(120) == 4
    assert b"got typed\r\n" in shown
    os.close(master)


def test_several_containers_cannot_be_attached_to(rootless, created):
    created("true")
    for option in ("-a", "-i"):
        result = rootless("start", option, "held", "held")
        message = "rootless: you cannot start and attach multiple containers at once\n"
        assert (result.status, result.stderr) == (1, message)


def test_command_that_does_not_exist(rootless):
    rootless("create", "--name", "held", "--rootfs", "/", "/nosuch").ok()
    for words in ("start", "-a"), ("start",):
        result = rootless(*words, "held")
        assert (result.status, result.stdout) == (1, "")  # docker's, also with -a
        assert "/nosuch" in result.stderr
    assert status_of(rootless) == "created"
    assert rootless("inspect", "-f", "{{.State.ExitCode}}", "held").ok().stdout == "127\n"


def test_unknown_container(rootless):
    result = rootless("start", "-a", "nosuch")
    assert (result.status, result.stderr) == (1, "rootless: No such container: nosuch\n")
