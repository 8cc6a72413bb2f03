"""A volume that is a tmpfs: its server mounts it once for all containers, and unmounts it after the last one."""

from __future__ import annotations

import errno

from rootless.errors import RootlessError
from rootless.syscalls import mounts
from rootless.volumes.options import FLAGS
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULTS = frozenset(
    ("async", "atime", "defaults", "dev", "diratime", "exec", "relatime", "rw", "suid")
)
"""Words for what a mount is without them."""


class TmpfsMount(NamedTuple):
    """The arguments of mount(2). `flags` are MS_* bits."""

    source: str
    flags: int
    data: str


def tmpfs_mount(options: Mapping[str, str]) -> TmpfsMount:
    """The mount that the options of a volume's driver ask for."""
    flags = 0
    data = []
    for word in filter(None, options.get("o", "").split(",")):
        if word in FLAGS:
            flags |= FLAGS[word]
        elif word not in _DEFAULTS:
            data.append(word)
    return TmpfsMount(options["device"], flags, ",".join(data))


class VolumeTmpfs(NamedTuple):
    """`path` names the volume in messages: the directory that docker mounts it on."""

    path: str
    mount: TmpfsMount

    def mount_on(self, mountpoint: str) -> None:
        """Mount it; the owners of its options are ids of this process's user namespace. Raises RootlessError with
        docker's message.
        """
        source, flags, data = self.mount
        try:
            mounts.mount(source, mountpoint, "tmpfs", flags, data)
        except OSError as error:
            reason = (error.strerror or "").lower()
            hint = None
            if error.errno == errno.EINVAL and ("uid=" in data or "gid=" in data):
                hint = "an owner of a tmpfs is one of the ids that `rootless info` lists"
            raise RootlessError(
                f"error while mounting volume '{self.path}': failed to mount local volume: "
                f"mount {source}:{self.path}, data: {data}: {reason}",
                hint=hint,
            ) from error
