"""The default directories of the engine: functions of an environment and a uid. Pure.

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


READ_ONLY = "read-only"
"""The name of a link in a store to one that can only be read, in whose place it is."""
SITE_CONFIGURATION = "/etc/rootless/rootless.toml"


def configuration_home(environ: Mapping[str, str]) -> str:
    """The user's directory of configuration files."""
    base = environ.get("XDG_CONFIG_HOME")
    return base if base and base.startswith("/") else f"{environ.get('HOME', '')}/.config"


def user_configuration(environ: Mapping[str, str]) -> str:
    """The user's own rootless.toml."""
    return f"{configuration_home(environ)}/rootless/rootless.toml"


def containers_conf_files(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The files of containers.conf(5), the one that counts most last."""
    if chosen := environ.get("CONTAINERS_CONF"):
        return (chosen,)
    own = f"{configuration_home(environ)}/containers/containers.conf"
    return ("/usr/share/containers/containers.conf", "/etc/containers/containers.conf", own)


def storage_conf_files(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The files of containers-storage.conf(5), the one that counts first."""
    own = f"{configuration_home(environ)}/containers/storage.conf"
    return (own, "/etc/containers/storage.conf")
