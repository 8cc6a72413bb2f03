"""The settings of rootless.toml as a value. Pure."""

from __future__ import annotations

from rootless.errors import UsageError
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NETWORKS = ("host", "none", "bridge", "pasta", "slirp4netns")
JOIN = ("auto", "never")
CHOWN = ("record", "pretend", "refuse")

KEYS = ("binds", "environment", "network", "uppers", "image_stores", "join", "chown")
"""In the order in which `info` shows them."""


class Configuration(NamedTuple):
    """The defaults of a site and of its user. A field is empty where no file sets it.

    `binds` are as -v takes them, `environment` as -e does, `uppers` is the directory for writable layers, in which
    variables of the environment are still to be replaced, `image_stores` are directories.
    `files` are the files that set a key, the site's first; `locked` is the site's file for each key that neither the user's
    file nor a variable nor an option can change.
    """

    binds: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    network: str = ""
    uppers: str = ""
    image_stores: tuple[str, ...] = ()
    join: str = ""
    chown: str = ""
    files: Mapping[str, tuple[str, ...]] = {}
    locked: Mapping[str, str] = {}

    def require_unlocked(self, key: str, where: str) -> None:
        """Raises UsageError if the site has locked the key, which `where`, an option or a variable, would change."""
        if key in self.locked:
            raise UsageError(
                f"{where} is not allowed here: {self.locked[key]} has locked {key}",
                hint=f"leave out {where}",
            )

    def network_unless_locked(self, asked: str, default: str) -> str:
        """The network of a command with a default of its own, which only a lock of the site replaces. Raises UsageError
        if another one was asked for."""
        if "network" not in self.locked:
            return asked or default
        if asked not in {"", self.network}:
            self.require_unlocked("network", f"--network {asked}")
        return self.network or default

    def chown_for(self, asked: str) -> str:
        """The value of --chown: what was asked for, else what is configured. Raises UsageError if the site has locked
        another one."""
        if asked not in {"", self.chown}:
            self.require_unlocked("chown", f"--chown={asked}")
        return asked or self.chown


def merged(site: Configuration, user: Configuration) -> Configuration:
    """Both together. Of a key with one value the user's counts; binds and variables of both do, the user's
    last, and the user's image stores come before the site's. The user's file sets nothing that the site has locked.
    """
    files = {key: (*site.files.get(key, ()), *user.files.get(key, ())) for key in KEYS}
    return Configuration(
        binds=(*site.binds, *user.binds),
        environment=(*site.environment, *user.environment),
        network=user.network or site.network,
        uppers=user.uppers or site.uppers,
        image_stores=(*user.image_stores, *site.image_stores),
        join=user.join or site.join,
        chown=user.chown or site.chown,
        files={key: paths for key, paths in files.items() if paths},
        locked=site.locked,
    )
