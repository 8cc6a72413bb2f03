"""The device session inside a program that lives in trio."""

from __future__ import annotations

import os

import pytest

from tests.support.unionmount import mounted
from unionfs.commands.mount import MountOptions
from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.ownership import IdView, Ownership
from unionfs.session.device import serve_in_trio
from unionfs.union import Union, UnionOptions

pytestmark = pytest.mark.needs("userns", "fuse")


def test_session_in_trio_serves_and_copies_while_other_tasks_run(tmp_path):
    for name in ("lower", "upper", "work", "mnt"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "big").write_bytes(b"\1" * (3 << 20))

    def make():
        return Union(
            [DirectoryLayer(bytes(tmp_path / "lower"), ownership=Ownership.DATA)],
            DirectoryUpper(
                bytes(tmp_path / "upper"), bytes(tmp_path / "work"), ownership=Ownership.DATA
            ),
            UnionOptions(view=IdView(((0, 1),), ((0, 1),), 0, 0)),
        )

    def serve(device, filesystem):
        import trio

        async def main():
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await trio.sleep(0.001)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(tick)
                counted = await serve_in_trio(device, filesystem)
                nursery.cancel_scope.cancel()
            assert ticks
            assert not counted.faults
            assert counted.by_operation()

        trio.run(main)

    options = MountOptions(default_permissions=True)
    with mounted(serve, make, tmp_path / "mnt", options) as union:
        with (union.path / "big").open("r+b", buffering=0) as file:
            file.write(b"\2")
            os.fsync(file.fileno())
            assert os.lseek(file.fileno(), 0, os.SEEK_DATA) == 0
        assert (union.path / "big").read_bytes() == b"\2" + b"\1" * ((3 << 20) - 1)
        assert len(os.listdir(union.path)) == 1
