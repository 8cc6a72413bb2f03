"""A root that the kernel finds by a name in node 1: the same directory, with a number of its own."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from tests.unit.unionfs.session.test_device import errno_of
from unionfs.memory import MemoryLayer, directory, regular
from unionfs.model import LOOKED_UP_ROOT, ROOT_NODE
from unionfs.session.dispatch import Dispatcher
from unionfs.session.options import ServeOptions
from unionfs.session.wire import Opcode
from unionfs.union import Union


class Kernel:
    def __init__(self, root_name: str) -> None:
        tree = directory({b"rootfs": regular(b"a file of that name"), b"f": regular(b"x")})
        self._replies, device = os.pipe2(os.O_NONBLOCK)
        options = ServeOptions(root_name=root_name)
        self.session = Dispatcher(device, Union([MemoryLayer(tree)], None), options)

    def ask(self, opcode, body, nodeid):
        head = struct.pack("=IIQQIIIHH", 40 + len(body), opcode, 7, nodeid, 0, 0, 0, 0, 0)
        self.session.buffer[: len(head + body)] = head + body
        self.session.handle(len(head + body))
        try:
            return os.read(self._replies, 1 << 16)
        except BlockingIOError:
            return b""

    def lookup(self, name, nodeid):
        """The number of the node, and its mode."""
        reply = self.ask(Opcode.LOOKUP, name + b"\0", nodeid)
        return struct.unpack_from("=Q", reply, 16)[0], struct.unpack_from("=I", reply, 16 + 100)[0]


def test_root_is_found_by_its_name_once():
    kernel = Kernel("rootfs")
    number, mode = kernel.lookup(b"rootfs", ROOT_NODE)
    assert (number, mode >> 12) == (LOOKED_UP_ROOT, 0o4)
    # What is in it is found from both, also a file of the same name.
    assert kernel.lookup(b"f", LOOKED_UP_ROOT)[0] == kernel.lookup(b"f", ROOT_NODE)[0] != 0
    assert kernel.lookup(b"rootfs", LOOKED_UP_ROOT)[1] >> 12 == 0o10


def test_without_a_name_node_1_has_its_files_alone():
    assert Kernel("").lookup(b"rootfs", ROOT_NODE)[1] >> 12 == 0o10


@pytest.mark.parametrize("nodeid", [ROOT_NODE, LOOKED_UP_ROOT])
def test_root_outlives_what_the_kernel_forgets(nodeid):
    kernel = Kernel("rootfs")
    kernel.lookup(b"rootfs", ROOT_NODE)
    assert kernel.ask(Opcode.FORGET, struct.pack("=Q", 1), nodeid) == b""
    assert kernel.lookup(b"f", nodeid)[1] >> 12 == 0o10


def test_acl_that_the_root_lacks_is_asked_for_once():
    kernel = Kernel("rootfs")
    kernel.lookup(b"rootfs", ROOT_NODE)
    body = struct.pack("=II", 0, 0) + b"system.posix_acl_access\0"
    for _ in range(2):
        assert errno_of(kernel.ask(Opcode.GETXATTR, body, LOOKED_UP_ROOT)) == errno.ENODATA
