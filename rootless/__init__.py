"""Run, build and ship OCI containers as an ordinary user: no daemon, no root.

from rootless import Engine, RunRequest
"""

from __future__ import annotations

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # Importing any module runs this one first, and most need neither name.
    if name == "Engine":
        from rootless.engine import Engine

        return Engine
    if name == "RunRequest":
        from rootless.launcher.request import RunRequest

        return RunRequest
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
