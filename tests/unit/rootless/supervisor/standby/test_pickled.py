"""The values that a monitor is made of come back as they were."""

import mmap
import os
import socket as library
from functools import partial

import pytest

from rootless.light_stdlib import socket
from rootless.supervisor.protocol import Kind, MonitorState
from rootless.supervisor.record_keeper import Ending
from rootless.supervisor.standby.pickled import pickled, unpickled


class Holder:
    def __init__(self, *values):
        self.values = values

    def resume(self):
        raise AssertionError("not here")

    def method(self):
        return self.values


def again(*values):
    return unpickled(pickled(Holder(*values))).values


def test_members_are_the_same_objects_and_tuples_have_their_types():
    ending = Ending(1, out_of_memory=True)
    state, kind, found = again(MonitorState.RUNNING, Kind.STOP, ending)
    assert state is MonitorState.RUNNING
    assert kind is Kind.STOP
    assert found == ending
    assert type(found) is Ending


def test_sockets_have_their_descriptors():
    left, right = library.socketpair()
    closed = socket.socket(socket.AF_UNIX)
    closed.close()
    one = socket.socket(fileno=left.detach())
    one.settimeout(30.0)
    kept, none = again(one, closed)
    kept.send(b"x")
    assert right.recv(1) == b"x"
    assert kept.gettimeout() == 30.0
    assert none.fileno() == -1
    assert kept.detach() == one.fileno()
    one.close()
    right.close()


def test_modules_methods_and_references_to_one_object():
    one = Holder(os)
    module, first, second, call = again(os, one, one, partial(one.method))
    assert module is os
    assert first is second
    assert call.func.__self__ is first


@pytest.mark.parametrize("value", [lambda: None, mmap.mmap(-1, 4096), (each for each in ())])
def test_what_cannot_be_kept_is_one_error(value):
    with pytest.raises(TypeError):
        pickled(Holder(value))
