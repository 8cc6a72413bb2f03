"""Run OCI containers as an ordinary user, without a daemon and without root.

from rootless import ContainerOptions, Engine
"""

# Every start imports this module: it imports nothing, `__future__` included.
__all__ = [
    "AsyncEngine",
    "ContainerOptions",
    "Engine",
    "EventFilters",
    "ExecOptions",
    "LogRequest",
    "__version__",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.async_engine import AsyncEngine
    from rootless.events.filters import EventFilters
    from rootless.logs.reader import LogRequest
    from rootless.spec.exec_options import ExecOptions
    from rootless.spec.options import ContainerOptions
    from rootless.version import __version__
else:
    _MODULES = {
        "AsyncEngine": "rootless.engine.async_engine",
        "ContainerOptions": "rootless.spec.options",
        "Engine": "rootless.engine",
        "EventFilters": "rootless.events.filters",
        "ExecOptions": "rootless.spec.exec_options",
        "LogRequest": "rootless.logs.reader",
        "__version__": "rootless.version",
    }

    def __getattr__(name: str) -> object:
        # Importing any module of the package runs this one first, and most need none of the names.
        if name in _MODULES:
            return getattr(__import__(_MODULES[name], fromlist=(name,)), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
