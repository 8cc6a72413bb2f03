"""The public Python API: what the commands do, as methods of `Engine`."""

from __future__ import annotations

__all__ = ["Engine"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine.engine import Engine
else:

    def __getattr__(name: str) -> object:
        # Importing any module of the package runs this one first, and a start needs no Engine.
        if name == "Engine":
            from rootless.engine.engine import Engine

            return Engine
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
