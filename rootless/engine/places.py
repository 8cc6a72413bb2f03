"""Where one engine keeps things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.state.containers import Containers


@dataclass(frozen=True, slots=True)
class Places:
    """The store, and the directory for sockets and locks."""

    store: Path
    runtime: Path

    @property
    def containers(self) -> Containers:
        """The containers of the store."""
        from rootless.state.containers import Containers

        return Containers(self.store / "containers")
