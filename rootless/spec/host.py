"""The facts of the host that a spec depends on. Pure; `rootless.spec.gather_host` gathers them."""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class HostFacts(NamedTuple):
    """`machine` and `kernel` (major, minor): of uname(2). `cgroup2`: /sys/fs/cgroup is the unified
    hierarchy. `mqueue`: /dev/mqueue is there to be bound. `devices`: the nodes of /dev that the
    account can open, for --privileged. `hard_limits`: by name without RLIMIT_, -1 for none."""

    machine: str = "x86_64"
    kernel: tuple[int, int] = (0, 0)

    cgroup2: bool = False
    mqueue: bool = False
    devices: tuple[str, ...] = ()
    hard_limits: Mapping[str, int] = {}
