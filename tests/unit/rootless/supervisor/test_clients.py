"""What a monitor does with what clients send: greetings, versions, violations, and silence."""

import gc
import os

import pytest

from rootless.light_stdlib import socket
from rootless.supervisor.clients import Client
from rootless.supervisor.messages import Connection
from rootless.supervisor.protocol import VERSION, Kind, MonitorState


@pytest.fixture
def pair():
    """(the monitor's client, the other end)"""
    here, there = Connection.pair()
    client = Client(here)
    yield client, there
    client.close()
    there.close()


def kinds(connection):
    received = []
    while (message := connection.receive()) is not None:
        received.append(message.kind)
    return received


def test_greeting_brings_a_client_to_the_containers_state(pair):
    client, other = pair
    other.send(Kind.HELLO, version=VERSION)
    message = client.receive()
    client.welcome(message.fields["version"], MonitorState.RUNNING, 7)
    client.close()
    assert kinds(other) == [Kind.WELCOME, Kind.READY, Kind.RUNNING]


def test_other_version_is_told_which_versions_these_are(pair):
    client, other = pair
    client.welcome(VERSION + 1, MonitorState.READY, 7)
    message = other.receive()
    assert message.kind is Kind.REFUSED
    assert (
        f"speaks version {VERSION} of the protocol and not {VERSION + 1}" in message.fields["text"]
    )
    assert other.receive() is None
    assert not client.is_open


def test_message_before_the_greeting_is_one_error_and_the_end(pair):
    client, other = pair
    other.send(Kind.START)
    assert client.receive() is None
    message = other.receive()
    assert message.fields["text"] == "protocol error: start from a client that is connected"
    assert other.receive() is None


@pytest.mark.parametrize("packet", [b"\xff", b"[]", b"{}", b'{"kind": "bogus"}', b'"x"', b"1"])
def test_packet_that_is_no_message_is_one_error_and_the_end(packet):
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client = Client(Connection(here))
    there.send(packet)
    assert client.receive() is None
    assert b"not a message of the protocol" in there.recv(4096)
    assert there.recv(4096) == b""
    there.close()


def test_descriptors_beside_a_bad_packet_are_closed():
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client = Client(Connection(here))
    gc.collect()  # descriptors of objects that other tests dropped
    before = len(os.listdir("/proc/self/fd"))
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, (0).to_bytes(4, "little"))
    there.sendmsg([b"{}"], [rights])
    assert client.receive() is None
    assert len(os.listdir("/proc/self/fd")) == before - 1  # the client's own
    there.close()


def test_client_that_reads_nothing_does_not_hold_the_monitor_up(pair):
    client, _ = pair
    client.welcome(VERSION, MonitorState.READY, 7)
    for _ in range(100_000):
        if not client.send(Kind.NOTICE, text="x" * 1000):
            break
    assert not client.is_open


def test_last_message_is_received_although_requests_stay_unread(pair):
    client, other = pair
    other.send(Kind.HELLO, version=VERSION)
    other.send(Kind.START)
    client.send(Kind.FAILED, error="RootlessError", message="no")
    client.close()
    assert kinds(other) == [Kind.FAILED]
