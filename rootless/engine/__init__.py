"""The public Python API: what the commands do, as methods of `Engine`."""

from rootless.engine.engine import Engine

__all__ = ["Engine"]
