"""A store, a home without accounts, and the registry of this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless.registry.configuration import ClientEnv
from rootless.registry.remote import RemoteOptions
from rootless.registry.retrying import Policy
from rootless.registry.transport import Timing
from rootless.store.layout import Store
from tests.support.registry import FakeRegistry, serving

QUICK = RemoteOptions(
    timing=Timing(connect=60, silence=60, slow_bytes=64), policy=Policy(first=0.01, longest=0.05)
)


@pytest.fixture
def env(tmp_path: Path) -> ClientEnv:
    (tmp_path / "home").mkdir()
    empty = tmp_path / "registries.conf"
    empty.write_text("")
    environ = {
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "CONTAINERS_REGISTRIES_CONF": str(empty),
    }
    return ClientEnv(environ, tmp_path / "home", 4711)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with serving(FakeRegistry()) as registry:
        yield registry
    assert registry.violations == []
