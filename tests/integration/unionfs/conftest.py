"""A mounted union: every test that asks for `union` runs on both sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import probes
from tests.support.unionmount import Mounted, mounted
from unionfs.commands.mount import MountOptions
from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.ownership import IdView, Ownership
from unionfs.session.options import ServeOptions
from unionfs.union import Union, UnionOptions

ROOT_ONLY = IdView(((0, 1),), ((0, 1),), 0, 0)


class UnionMount(NamedTuple):
    """`path` is the merged tree as seen from outside of its namespaces."""

    path: Path
    lower: Path
    upper: Path
    session: str
    mounted: Mounted


@pytest.fixture(params=["device", "pyfuse3"])
def session(request: pytest.FixtureRequest) -> str:
    if request.param == "pyfuse3" and (reason := probes.lacking("pyfuse3")):
        pytest.skip(reason)
    return request.param


@pytest.fixture
def device_only(session: str) -> None:
    """For what pyfuse3 has no handler for."""
    if session != "device":
        pytest.skip("pyfuse3 has no such operation")


@pytest.fixture
def populate() -> Callable[[Path], None]:
    """What the lower holds; a module or test overrides it."""

    def nothing(lower: Path) -> None:
        return

    return nothing


@pytest.fixture
def serve_options() -> ServeOptions:
    return ServeOptions()


@pytest.fixture
def union(
    session: str,
    tmp_path: Path,
    populate: Callable[[Path], None],
    serve_options: ServeOptions,
) -> Iterator[UnionMount]:
    lower, upper, work, mountpoint = (tmp_path / n for n in ("lower", "upper", "work", "mnt"))
    for directory in (lower, upper, work, mountpoint):
        directory.mkdir()
    populate(lower)

    def make() -> Union:
        return Union(
            [DirectoryLayer(bytes(lower), ownership=Ownership.DATA)],
            DirectoryUpper(bytes(upper), bytes(work), ownership=Ownership.DATA),
            UnionOptions(view=ROOT_ONLY),
        )

    def serve(device: int, filesystem: Union) -> None:
        if session == "device":
            from unionfs.session import device as chosen
        else:
            from unionfs.session import pyfuse3_session as chosen
        counted = chosen.serve(device, filesystem, serve_options)
        if counted.faults:
            raise AssertionError(f"{counted.faults} requests ended in an unexpected exception")

    with mounted(serve, make, mountpoint, MountOptions(default_permissions=True)) as made:
        yield UnionMount(made.path, lower, upper, session, made)
