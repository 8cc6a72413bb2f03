"""Run OCI containers as an ordinary user, without a daemon and without root.

from rootless import ContainerOptions, Engine
"""

from __future__ import annotations

from rootless.version import __version__

__all__ = ["ContainerOptions", "Engine", "__version__"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.spec.options import ContainerOptions
else:

    def __getattr__(name: str) -> object:
        # Importing any module of the package runs this one first, and most need neither name.
        if name == "Engine":
            from rootless.engine import Engine

            return Engine
        if name == "ContainerOptions":
            from rootless.spec.options import ContainerOptions

            return ContainerOptions
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
