"""`attach`: further clients of a running container."""

import os
import signal

import pytest

from tests.support.waiting import assert_stays, wait_until

pytestmark = pytest.mark.needs("userns", "fuse")


@pytest.fixture
def running(rootless):
    """Starts a script in a container named `held`, once it has written `ready`."""

    def start(script, *options):
        words = ("run", *options, "--name", "held", "--rootfs", "/", "sh", "-c")
        process = rootless.popen(*words, f"echo ready; {script}")
        assert read(process, 6) == b"ready\n"
        return process

    return start


def read(process, size):
    data = b""
    while len(data) < size and (piece := os.read(process.stdout.fileno(), size - len(data))):
        data += piece
    return data


def attach(rootless, *options):
    process = rootless.popen("attach", *options, "held")
    wait_for_signal_handlers(process)
    return process


def wait_for_signal_handlers(process):
    """Until the client passes signals on, which it does from before it is attached."""

    def catches():
        with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
            caught = next(line for line in file if line.startswith("SigCgt"))
        return int(caught.split()[1], 16) & 1 << (signal.SIGTERM - 1)

    wait_until(catches)


LOOP = "trap 'echo end; exit 5' TERM; while :; do echo x; sleep 0.05; done"


def test_all_clients_see_the_output_and_the_status(rootless, running):
    process = running(LOOP)
    clients = [rootless.popen("attach", "held"), rootless.popen("container", "attach", "held")]
    for client in clients:
        assert read(client, 4) == b"x\nx\n"
    process.send_signal(signal.SIGTERM)
    for each in (process, *clients):
        out, err = each.communicate(timeout=120)
        assert (out[-4:], err, each.returncode) == (b"end\n", b"", 5)


def test_signal_of_an_attached_client_reaches_the_container(rootless, running):
    process = running(LOOP)
    client = attach(rootless)
    assert read(client, 2) == b"x\n"
    client.send_signal(signal.SIGTERM)
    assert client.communicate(timeout=120)[0].endswith(b"end\n")
    assert client.returncode == 5
    process.communicate(timeout=120)
    assert process.returncode == 5


def test_client_without_signals_ends_alone(rootless, running):
    process = running(LOOP)
    client = rootless.popen("attach", "--sig-proxy=false", "held")
    assert read(client, 2) == b"x\n"
    client.send_signal(signal.SIGTERM)
    client.communicate(timeout=120)
    assert client.returncode == -signal.SIGTERM
    assert_stays(lambda: process.poll() is None)
    process.terminate()
    process.communicate(timeout=120)


def test_client_that_is_killed_leaves_the_others(rootless, running):
    process = running(LOOP)
    client = rootless.popen("attach", "held")
    assert read(client, 2) == b"x\n"
    client.kill()
    client.communicate(timeout=120)
    assert read(process, 20) == b"x\n" * 10
    process.terminate()
    process.communicate(timeout=120)


def test_terminal_is_shown_to_two_clients(rootless):
    process = rootless.popen("run", "-t", "--name", "held", "--rootfs", "/", "sh", "-c", LOOP)
    assert read(process, 3) == b"x\r\n"
    client = rootless.popen("attach", "--no-stdin", "held")
    assert read(client, 3) == b"x\r\n"
    process.terminate()
    for each in (process, client):
        assert each.communicate(timeout=120)[0].endswith(b"end\r\n")
        assert each.returncode == 5


def test_container_that_has_ended(rootless):
    rootless("run", "--name", "held", "--rootfs", "/", "true").ok()
    result = rootless("attach", "held")
    assert result.stderr == ("rootless: you cannot attach to a stopped container, start it first\n")
    assert result.status == 1


def test_unknown_container(rootless):
    result = rootless("attach", "nosuch")
    assert (result.status, result.stderr) == (1, "rootless: No such container: nosuch\n")


def test_control_socket_that_was_removed_is_made_again(rootless, running):
    process = running(LOOP)
    (socket,) = rootless.runtime.glob("rootless/containers/*/control.sock")
    socket.unlink()
    client = rootless.popen("attach", "--no-stdin", "held")
    assert read(client, 4) == b"x\nx\n"
    process.terminate()
    for each in (process, client):
        assert each.communicate(timeout=120)[0].endswith(b"end\n")
        assert each.returncode == 5
