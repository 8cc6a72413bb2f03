"""Where the engine keeps things: functions of an environment and a uid. Pure.

Persistent data follows the XDG base directory specification. Sockets, locks and mount points live in XDG_RUNTIME_DIR, or, where a
batch job or cron gave none, in a private directory under /tmp.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def data_root(environ: Mapping[str, str], home: str) -> str:
    """The store: blobs, layers, containers, volumes. ROOTLESS_ROOT overrides it."""
    if root := environ.get("ROOTLESS_ROOT"):
        return root
    base = environ.get("XDG_DATA_HOME")
    # The specification says that a relative path is to be ignored.
    return f"{base if base and base.startswith('/') else f'{home}/.local/share'}/rootless"


def runtime_root(environ: Mapping[str, str], uid: int) -> str:
    """Sockets, locks and mount points. ROOTLESS_RUNROOT overrides it."""
    if root := environ.get("ROOTLESS_RUNROOT"):
        return root
    if (base := environ.get("XDG_RUNTIME_DIR")) and base.startswith("/"):
        return f"{base}/rootless"
    return f"/tmp/rootless-{uid}"  # the engine makes it 0700 and checks its owner
