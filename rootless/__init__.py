"""Run OCI containers as an ordinary user, without a daemon and without root.

from rootless import ContainerOptions, Engine
"""

from __future__ import annotations

__all__ = ["ContainerOptions", "Engine", "__version__"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.spec.options import ContainerOptions
    from rootless.version import __version__
else:

    def __getattr__(name: str) -> object:
        # Importing any module of the package runs this one first, and most need none of the names.
        if name == "Engine":
            from rootless.engine import Engine

            return Engine
        if name == "ContainerOptions":
            from rootless.spec.options import ContainerOptions

            return ContainerOptions
        if name == "__version__":
            from rootless.version import __version__

            return __version__
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
