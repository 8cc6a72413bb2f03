"""The steps between clone and exec, as values: what --debug prints and what the child performs.
Pure.

Tuples rather than dataclasses, because defining two dozen of those costs a start ten times as much
(measured: 0.09 ms against 1.1 ms each on a busy machine). Two steps without fields are equal, so
look at the type.

Every step can say what it does in one line (`describe`), which is also what an error names. How
each is done is in `rootless.runtime.operations`. Targets are paths inside the container, always
resolved beneath its root.
"""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias


class DetachPropagation(NamedTuple):
    """Mounts made here stay here; mounts made on the host still arrive where a bind asks for it
    (rslave)."""

    def describe(self) -> str:
        return "make every mount a slave of the host's"


class OpenSource(NamedTuple):
    """Take a copy of a host mount while the caller's groups and the host's tree are still there."""

    key: int
    path: str
    recursive: bool

    def describe(self) -> str:
        return f"open the bind source {self.path}"


class BecomeSetupUser(NamedTuple):
    """The set-up runs as the container's root, so that what it makes belongs to it."""

    uid: int
    gid: int
    drop_groups: bool

    def describe(self) -> str:
        return f"become {self.uid}:{self.gid} inside"


class MountUnion(NamedTuple):
    """Open /dev/fuse in this user namespace, mount, pass the descriptor out: FUSE wants device and
    mount in one namespace."""

    mountpoint: str
    source: str
    fstype: str
    read_only: bool
    uid: int
    gid: int

    def describe(self) -> str:
        return f"mount {self.fstype} on {self.mountpoint}"


class MountOverlay(NamedTuple):
    """Kernel overlayfs over the union that MountUnion has mounted below `directory`."""

    directory: str

    def describe(self) -> str:
        return f"mount kernel overlayfs on {self.directory}/rootfs"


class BindRoot(NamedTuple):
    """A plain directory, opened by OpenSource under `key`, as root."""

    key: int
    path: str

    def describe(self) -> str:
        return f"bind the root {self.path}"


class Mount(NamedTuple):
    """A new file system at `target`. `options` are the file system's, `attributes` MOUNT_ATTR_*
    bits."""

    target: str
    fstype: str
    source: str
    options: tuple[str, ...]
    attributes: int

    def describe(self) -> str:
        return f"mount {self.fstype} on {self.target}"


class AttachSource(NamedTuple):
    """Attach what OpenSource took. `propagation` is an MS_* flag; `optional` leaves it out where
    the target's directory is missing."""

    key: int
    source: str
    target: str
    attributes: int
    recursive_attributes: int
    propagation: int
    optional: bool

    def describe(self) -> str:
        return f"bind {self.source} on {self.target}"


class MakeSymlink(NamedTuple):
    target: str
    path: str

    def describe(self) -> str:
        return f"link {self.path} to {self.target}"


class AllocateTerminal(NamedTuple):
    """A terminal from the container's own devpts: bound on /dev/console, made the controlling one,
    master passed out."""

    rows: int
    columns: int

    def describe(self) -> str:
        return "allocate the container's terminal"


class WriteSysctl(NamedTuple):
    name: str
    value: str

    def describe(self) -> str:
        return f"set sysctl {self.name}={self.value}"


class SetHostname(NamedTuple):
    hostname: str
    domainname: str

    def describe(self) -> str:
        return f"set the host name {self.hostname}"


class JoinCgroupNamespace(NamedTuple):
    """After the move into the cgroup, because the namespace's root is the cgroup at that time
    (cgroup_namespaces(7))."""

    def describe(self) -> str:
        return "enter a new cgroup namespace"


class RaiseLoopback(NamedTuple):
    """A new network namespace has its loopback interface down."""

    def describe(self) -> str:
        return "bring the loopback interface up"


class MaskPath(NamedTuple):
    path: str

    def describe(self) -> str:
        return f"mask {self.path}"


class ProtectPath(NamedTuple):
    path: str

    def describe(self) -> str:
        return f"make {self.path} read-only"


class ProtectRoot(NamedTuple):
    def describe(self) -> str:
        return "make the root read-only"


class EnterRoot(NamedTuple):
    """pivot_root(2) and the host's tree gone."""

    def describe(self) -> str:
        return "enter the root"


class ResolveUser(NamedTuple):
    """Who the process is. Names are looked up in the container's own /etc/passwd and /etc/group.
    With `fixed` there is one id, and every user is that one."""

    user: str
    groups: tuple[str, ...]
    fixed: bool
    required: bool

    def describe(self) -> str:
        return f"look up the user {self.user!r}"


class ChangeDirectory(NamedTuple):
    path: str

    def describe(self) -> str:
        return f"change to the working directory {self.path}"


class SetLimit(NamedTuple):
    resource: str
    soft: int
    hard: int

    def describe(self) -> str:
        return f"set limit {self.resource}={self.soft}:{self.hard}"


class AdjustOomScore(NamedTuple):
    value: int

    def describe(self) -> str:
        return f"set oom_score_adj to {self.value}"


class SetUmask(NamedTuple):
    mask: int

    def describe(self) -> str:
        return f"set the umask to {self.mask:04o}"


Step: TypeAlias = (
    DetachPropagation
    | OpenSource
    | BecomeSetupUser
    | MountUnion
    | MountOverlay
    | BindRoot
    | Mount
    | AttachSource
    | MakeSymlink
    | AllocateTerminal
    | WriteSysctl
    | SetHostname
    | JoinCgroupNamespace
    | RaiseLoopback
    | MaskPath
    | ProtectPath
    | ProtectRoot
    | EnterRoot
    | ResolveUser
    | ChangeDirectory
    | SetLimit
    | AdjustOomScore
    | SetUmask
)


class Credentials(NamedTuple):
    """What the process may do. Capability names have no CAP_ prefix; the effective set is the
    permitted one. For a user other than root exec(2) leaves the ambient set only (capabilities(7)),
    which is empty unless asked for."""

    bounding: frozenset[str]
    permitted: frozenset[str]
    inheritable: frozenset[str]
    ambient: frozenset[str]
    no_new_privileges: bool

    def describe(self) -> str:
        return f"keep {len(self.bounding)} capabilities"


class Execute(NamedTuple):
    """The end of the start: exec, or our own init with the command as its child."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    init: bool
    terminal: bool

    def describe(self) -> str:
        return f"{'init and ' if self.init else ''}exec {' '.join(self.args)}"
