"""Run, build and ship OCI containers as an ordinary user: no daemon, no root.

from rootless import Engine, RunRequest
"""

from __future__ import annotations

from rootless.version import __version__ as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine import Engine as Engine
    from rootless.spec.request import RunRequest as RunRequest
else:

    def __getattr__(name: str) -> object:
        # Importing any module runs this one first, and most need neither name.
        if name == "Engine":
            from rootless.engine import Engine

            return Engine
        if name == "RunRequest":
            from rootless.spec.request import RunRequest

            return RunRequest
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
