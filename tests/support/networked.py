"""A store with one image, and a network in it, for tests that share them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.rootless import Rootless, remove_tree, short_directory


@contextmanager
def store_with(archive: Path, name: str) -> Iterator[Rootless]:
    """A store that has the image `name`, of a tar of its root file system."""
    directory = short_directory()
    command = Rootless(directory / "data", directory / "run")
    try:
        command("import", archive, name, timeout=300).ok()
        yield command
    finally:
        command.remove_containers()
        remove_tree(directory)


@contextmanager
def network_in(engine: Rootless) -> Iterator[Rootless]:
    """With the network `net` of both families, and without containers afterwards."""
    options = ("--subnet", "10.77.0.0/24", "--subnet", "fd00:77::/64", "--ipv6")
    engine("network", "create", *options, "net").ok()
    yield engine
    engine.remove_containers()
    engine("network", "rm", "net").ok()
