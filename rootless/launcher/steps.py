"""The steps between clone and exec, as values: what --debug prints and what the child performs.
Pure.

Every step can say what it does in one line (`describe`), which is also what an error names. How
each is done is in `rootless.launcher.operations`. Targets are paths inside the container, always
resolved beneath its root.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class DetachPropagation:
    """Mounts made here stay here; mounts made on the host still arrive where a bind asks for it
    (rslave)."""

    def describe(self) -> str:
        return "make every mount a slave of the host's"


@dataclass(frozen=True, slots=True)
class OpenSource:
    """Take a copy of a host mount while the caller's groups and the host's tree are still there."""

    key: int
    path: str
    recursive: bool

    def describe(self) -> str:
        return f"open the bind source {self.path}"


@dataclass(frozen=True, slots=True)
class BecomeSetupUser:
    """The set-up runs as the container's root, so that what it makes belongs to it."""

    uid: int
    gid: int
    drop_groups: bool

    def describe(self) -> str:
        return f"become {self.uid}:{self.gid} inside"


@dataclass(frozen=True, slots=True)
class MountUnion:
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


@dataclass(frozen=True, slots=True)
class BindRoot:
    """A plain directory, opened by OpenSource under `key`, as root."""

    key: int
    path: str

    def describe(self) -> str:
        return f"bind the root {self.path}"


@dataclass(frozen=True, slots=True)
class Mount:
    """A new file system at `target`. `options` are the file system's, `attributes` MOUNT_ATTR_*
    bits."""

    target: str
    fstype: str
    source: str
    options: tuple[str, ...]
    attributes: int

    def describe(self) -> str:
        return f"mount {self.fstype} on {self.target}"


@dataclass(frozen=True, slots=True)
class AttachSource:
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


@dataclass(frozen=True, slots=True)
class MakeSymlink:
    target: str
    path: str

    def describe(self) -> str:
        return f"link {self.path} to {self.target}"


@dataclass(frozen=True, slots=True)
class AllocateTerminal:
    """A terminal from the container's own devpts: bound on /dev/console, made the controlling one,
    master passed out."""

    rows: int
    columns: int

    def describe(self) -> str:
        return "allocate the container's terminal"


@dataclass(frozen=True, slots=True)
class WriteSysctl:
    name: str
    value: str

    def describe(self) -> str:
        return f"set sysctl {self.name}={self.value}"


@dataclass(frozen=True, slots=True)
class SetHostname:
    hostname: str
    domainname: str

    def describe(self) -> str:
        return f"set the host name {self.hostname}"


@dataclass(frozen=True, slots=True)
class JoinCgroupNamespace:
    """After the move into the cgroup, because the namespace's root is the cgroup at that time
    (cgroup_namespaces(7))."""

    def describe(self) -> str:
        return "enter a new cgroup namespace"


@dataclass(frozen=True, slots=True)
class RaiseLoopback:
    """A new network namespace has its loopback interface down."""

    def describe(self) -> str:
        return "bring the loopback interface up"


@dataclass(frozen=True, slots=True)
class MaskPath:
    path: str

    def describe(self) -> str:
        return f"mask {self.path}"


@dataclass(frozen=True, slots=True)
class ProtectPath:
    path: str

    def describe(self) -> str:
        return f"make {self.path} read-only"


@dataclass(frozen=True, slots=True)
class ProtectRoot:
    def describe(self) -> str:
        return "make the root read-only"


@dataclass(frozen=True, slots=True)
class EnterRoot:
    """pivot_root(2) and the host's tree gone."""

    def describe(self) -> str:
        return "enter the root"


@dataclass(frozen=True, slots=True)
class ResolveUser:
    """Who the process is. Names are looked up in the container's own /etc/passwd and /etc/group.
    With `fixed` there is one id, and every user is that one."""

    user: str
    groups: tuple[str, ...]
    fixed: bool

    def describe(self) -> str:
        return f"look up the user {self.user!r}"


@dataclass(frozen=True, slots=True)
class ChangeDirectory:
    path: str

    def describe(self) -> str:
        return f"change to the working directory {self.path}"


@dataclass(frozen=True, slots=True)
class SetLimit:
    resource: str
    soft: int
    hard: int

    def describe(self) -> str:
        return f"set limit {self.resource}={self.soft}:{self.hard}"


@dataclass(frozen=True, slots=True)
class AdjustOomScore:
    value: int

    def describe(self) -> str:
        return f"set oom_score_adj to {self.value}"


@dataclass(frozen=True, slots=True)
class SetUmask:
    mask: int

    def describe(self) -> str:
        return f"set the umask to {self.mask:04o}"


Step: TypeAlias = (
    DetachPropagation
    | OpenSource
    | BecomeSetupUser
    | MountUnion
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


@dataclass(frozen=True, slots=True)
class Credentials:
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


@dataclass(frozen=True, slots=True)
class Execute:
    """The end of the start: exec, or our own init with the command as its child."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    init: bool
    terminal: bool

    def describe(self) -> str:
        return f"{'init and ' if self.init else ''}exec {' '.join(self.args)}"
