"""Asking systemd for a scope: against a small fake of it on a real socket."""

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from rootless.cgroups import dbus_wire
from rootless.cgroups.dbus_wire import ERROR, METHOD_RETURN, SIGNAL, DbusMessage
from rootless.cgroups.systemd import SystemdError, start_scope

JOB = "/org/freedesktop/systemd1/job/7"


class FakeSystemd:
    """Serves one connection on `path`; `behaviour` changes what it answers."""

    def __init__(self, path, behaviour="done"):
        self.path = str(path)
        self.behaviour = behaviour
        self.calls = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.thread.join(60)
        assert not self.thread.is_alive()

    def run(self):
        with suppress(ConnectionError):  # the caller need not wait for every answer
            self.serve()

    def serve(self):
        connection, _ = self.listener.accept()
        with connection:
            connection.recv(4096)
            if self.behaviour == "refuses":
                connection.sendall(b"REJECTED EXTERNAL\r\n")
                return
            connection.sendall(b"OK 0123\r\n")
            buffer = connection.recv(65536).removeprefix(b"BEGIN\r\n")
            while True:
                while (decoded := dbus_wire.decode(buffer)) is None:
                    if not (data := connection.recv(65536)):
                        return
                    buffer += data.removeprefix(b"BEGIN\r\n") if not self.calls else data
                message, length = decoded
                buffer = buffer[length:]
                self.calls.append(message)
                if self.behaviour == "hangs up" and message.member == "StartTransientUnit":
                    return
                for answer in self.answers(message):
                    connection.sendall(answer)

    def answers(self, message):
        serial = len(self.calls)
        if message.member != "StartTransientUnit":
            values = {"signature": "s", "body": (":1.5",)} if message.member == "Hello" else {}
            yield dbus_wire.encode(
                DbusMessage(kind=METHOD_RETURN, reply_serial=serial, **values), serial
            )
        elif self.behaviour == "error":
            yield dbus_wire.encode(
                DbusMessage(
                    kind=ERROR,
                    error_name="org.freedesktop.systemd1.UnitExists",
                    reply_serial=serial,
                    signature="s",
                    body=("Unit already exists.",),
                ),
                serial,
            )
        elif self.behaviour == "garbage":
            yield b"this is no message at all"
        elif self.behaviour != "silent":
            removed = [self.removed("/another/job", "failed"), self.removed(JOB, self.behaviour)]
            reply = dbus_wire.encode(
                DbusMessage(kind=METHOD_RETURN, reply_serial=serial, signature="o", body=(JOB,)),
                serial,
            )
            # The end of the job may overtake the answer to the call that queued it.
            yield from (*removed, reply) if self.behaviour == "done" else (reply, *removed)

    @staticmethod
    def removed(job, result):
        body = (7, job, "a.scope", result)
        return dbus_wire.encode(
            DbusMessage(kind=SIGNAL, path="/", member="JobRemoved", signature="uoss", body=body), 9
        )


def start(fake, timeout=60.0, **options):
    start_scope(fake.path, "a.scope", [42, 43], description="d", timeout=timeout, **options)


def test_scope_holds_the_process_and_is_delegated(tmp_path):
    with FakeSystemd(tmp_path / "bus") as fake:
        start(fake, slice_name="mine.slice")
    assert [call.member for call in fake.calls] == ["Hello", "AddMatch", "StartTransientUnit"]
    name, mode, properties, auxiliary = fake.calls[-1].body
    assert (name, mode, auxiliary) == ("a.scope", "fail", [])
    values = dict(properties)
    assert values["PIDs"] == ("au", [42, 43])
    assert values["Delegate"] == ("b", True)
    assert values["Slice"] == ("s", "mine.slice")


def test_systemds_own_socket_is_not_greeted(tmp_path, monkeypatch):
    # A socket's path ends at 107 bytes, wherever pytest keeps its files.
    monkeypatch.chdir(tmp_path)
    Path("systemd").mkdir()
    with FakeSystemd("./systemd/private") as fake:
        start(fake)
    assert [call.member for call in fake.calls] == ["StartTransientUnit"]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("error", "systemd refused StartTransientUnit: Unit already exists."),
        ("failed", "systemd could not start a.scope: failed"),
        ("refuses", "refused authentication: REJECTED EXTERNAL"),
        ("garbage", "not a D-Bus message"),
        ("hangs up", "closed the connection"),
    ],
)
def test_systemd_that_does_not_do_it_is_an_error_that_says_why(tmp_path, behaviour, words):
    with FakeSystemd(tmp_path / "bus", behaviour) as fake, pytest.raises(SystemdError) as caught:
        start(fake)
    assert words in caught.value.message


def test_systemd_that_hangs_is_given_up(tmp_path):
    began = time.monotonic()
    with (
        FakeSystemd(tmp_path / "bus", "silent") as fake,
        pytest.raises(SystemdError, match="did not answer in time"),
    ):
        start(fake, timeout=0.2)
    assert time.monotonic() - began < 30


def test_socket_without_a_server_is_an_error(tmp_path):
    with pytest.raises(SystemdError, match="cannot connect to"):
        start_scope(str(tmp_path / "bus"), "a.scope", [1], description="", timeout=1)
