"""Finds a control group for a container of this user: in a scope of the user's systemd, else in a
subtree that the user owns, else none.

A transient scope with Delegate=yes is a subtree that systemd promises to leave alone. A subtree that
the user owns already comes from a batch system, a container or an administrator; in a batch job it is
the only one considered, because a scope of the user's systemd would take the container out of the job
and its limits.
"""

from __future__ import annotations

import errno
import os

from rootless.cgroups.control_group import (
    ControlGroup,
    check_controllers,
    divide,
    enable,
    read,
    remove_abandoned,
    write_line,
)
from rootless.cgroups.hierarchy import (
    CONTROLLERS,
    View,
    controllers_at,
    may_be_divided,
    observe,
    own_path,
)
from rootless.cgroups.resources import writes
from rootless.errors import HostSupportError, RootlessError, UsageError
from unionfs.light_types import NamedTuple, Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

_LOGIN_HINT = (
    "log in through a systemd session (a console, ssh, or `machinectl shell`), or as root "
    "`loginctl enable-linger USER` and set XDG_RUNTIME_DIR; "
    "in a batch job, ask for a delegated cgroup"
)
_UNIFIED_HINT = "as root: boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"


class Delegation(Protocol):
    """A way to get a control group. `no_side_effects`: it is used even when no limit was asked for."""

    @property
    def driver(self) -> str: ...
    @property
    def place(self) -> str:
        """The control group whose controllers decide."""

    @property
    def no_side_effects(self) -> bool: ...
    def controllers(self) -> frozenset[str]:
        """The controllers that its groups will have, as far as that is known beforehand."""

    def create(
        self, container_id: str, pids: Sequence[int], parent: str | None = None
    ) -> ControlGroup:
        """Move the processes, this one among them, into the new group's `server`.

        Raises HostSupportError; UsageError for a parent it cannot give.
        """


class Scope(NamedTuple):
    """A transient scope of the user's systemd, which has `timeout` seconds. `parent` is a slice."""

    view: View
    bus: str
    timeout: float
    driver: str = "systemd"
    no_side_effects: bool = True

    @property
    def place(self) -> str:
        uid = self.view.uid
        return f"{self.view.hierarchy.top}/user.slice/user-{uid}.slice/user@{uid}.service"

    def controllers(self) -> frozenset[str]:
        # systemd may use another path: then the controllers are known once the scope exists.
        return controllers_at(self.place) or frozenset(CONTROLLERS)

    def create(
        self, container_id: str, pids: Sequence[int], parent: str | None = None
    ) -> ControlGroup:
        from rootless.cgroups.systemd import start_scope

        if parent is not None and not parent.endswith(".slice"):
            raise UsageError(
                f"--cgroup-parent {parent}: under systemd the parent must be a slice, NAME.slice"
            )
        start_scope(
            self.bus,
            f"rootless-{container_id}.scope",
            pids,
            description=f"container {container_id}",
            slice_name=parent,
            timeout=self.timeout,
        )
        outer = f"{self.view.hierarchy.top}{own_path(read('/proc/self/cgroup'))}"
        return _divided(outer, pids, origin=None)


class Level(NamedTuple):
    """A control group that this process may divide: its own, or one above it.

    `handed_down` is its cgroup.subtree_control.
    """

    path: str
    available: frozenset[str]
    handed_down: frozenset[str]


class Subtree(NamedTuple):
    """A control group that this user owns.

    `has_processes`: it has processes, which have to move into a leaf before it can be divided.
    """

    level: Level
    own: str
    has_processes: bool
    driver: str = "cgroupfs"

    @property
    def no_side_effects(self) -> bool:
        # A user's shell is not moved unless a limit was asked for.
        return not self.has_processes

    @property
    def place(self) -> str:
        return self.level.path

    def controllers(self) -> frozenset[str]:
        return self.level.available

    def create(
        self, container_id: str, pids: Sequence[int], parent: str | None = None
    ) -> ControlGroup:
        if parent is not None:
            raise UsageError(
                f"--cgroup-parent {parent}: systemd does not run here, so there are no slices"
            )
        base, origin = self.level.path, self.own
        try:
            if self.has_processes:
                origin = f"{base}/main"
                _evacuate(base, origin)
            enable(base)
            remove_abandoned(base)
            outer = f"{base}/rootless-{container_id}"
            os.mkdir(outer)
        except OSError as error:
            raise HostSupportError(
                f"cannot divide the control group {base}: {error.strerror}"
            ) from None
        return _divided(outer, pids, origin=origin)


def _divided(outer: str, pids: Sequence[int], origin: str | None) -> ControlGroup:
    try:
        divide(outer, pids)
        return ControlGroup(outer, origin)
    except OSError as error:
        raise HostSupportError(
            f"cannot divide the control group {outer}: {error.strerror}"
        ) from None


def _evacuate(group: str, leaf: str) -> None:
    """Moves all processes of `group` into `leaf` below it. Raises OSError."""
    try:
        os.mkdir(leaf)
    except FileExistsError:
        pass
    # A process that is forked meanwhile is found in the next round.
    for _ in range(100):
        pids = read(f"{group}/cgroup.procs").split()
        if not pids:
            return
        for pid in pids:
            try:
                write_line(f"{leaf}/cgroup.procs", pid)
            except ProcessLookupError:
                pass
    raise OSError(errno.EBUSY, "processes keep joining it")


def levels(directory: str, top: str) -> list[Level]:
    """The control groups from this process's own upwards that it may divide."""
    found = []
    while directory.startswith(top) and may_be_divided(directory):
        handed_down = frozenset(read(f"{directory}/cgroup.subtree_control").split())
        found.append(Level(directory, controllers_at(directory), handed_down))
        if directory == top:
            break
        directory = os.path.dirname(directory)
    return found


def subtree_of(owned: Sequence[Level], needed: frozenset[str]) -> Subtree | None:
    """The nearest group that can hold a container with the `needed` controllers; one that is divided
    already is preferred to this process's own.
    """
    if not owned:
        return None
    divided = [level for level in owned if level.handed_down]
    for level in (*divided, owned[0]):
        if needed <= level.available:
            return Subtree(level, owned[0].path, has_processes=not level.handed_down)
    nearest = divided[0] if divided else owned[0]
    return Subtree(nearest, owned[0].path, has_processes=not divided)


def candidates(view: View, needed: frozenset[str]) -> Iterable[Delegation]:
    """The delegations to try, in order; none unless the machine has only cgroup version 2."""
    hierarchy = view.hierarchy
    if not view.has_only_version_2 or hierarchy.top is None:
        return
    if view.bus is not None and not view.batch_job:
        # A start that asked for no limit does not wait long for a systemd that hangs.
        yield Scope(view, view.bus, timeout=10 if needed else 1)
    if hierarchy.directory is not None:
        subtree = subtree_of(levels(hierarchy.directory, hierarchy.top), needed)
        if subtree is not None:
            yield subtree


def create(
    view: View,
    container_id: str,
    resources: Mapping[str, Any],
    pids: Sequence[int],
    parent: str | None = None,
) -> ControlGroup | None:
    """A control group for a container, its limits set, and the processes `pids` in its `server`: the
    monitor, which calls this, and the file server. `view`: of `rootless.cgroups.hierarchy.observe`.

    None when no limit was asked for and this machine offers no group. Raises HostSupportError when
    a limit was, and cannot be kept; InvalidDocumentError, UsageError for resources that make no
    sense.
    """
    wanted = writes(resources)
    asked = bool(wanted) or parent is not None
    refusals: list[RootlessError] = []
    for delegation in candidates(view, frozenset(write.controller for write in wanted)):
        if not asked and not delegation.no_side_effects:
            continue
        try:
            check_controllers(wanted, delegation.controllers(), delegation.place)
            group = delegation.create(container_id, pids, parent)
        except HostSupportError as error:
            refusals.append(error)
            continue
        try:
            check_controllers(wanted, group.controllers, group.outer)
            group.write(wanted)
        except BaseException:
            group.remove()
            raise
        return group
    if not asked:
        return None
    name = wanted[0].limit if wanted else "--cgroup-parent"
    if not refusals:
        raise _nowhere(view, name)
    refusal = refusals[0]
    if refusal.details.get("limit"):
        raise refusal
    raise HostSupportError(
        f"{name} cannot be enforced: {refusal.message}", hint=refusal.hint or _LOGIN_HINT
    )


def _nowhere(view: View, limit: str) -> HostSupportError:
    reason, hint = obstacle(view)
    return HostSupportError(f"{limit} cannot be enforced: {reason}", hint=hint)


def obstacle(view: View) -> tuple[str, str]:
    """Why there is no delegation, and what would enable it."""
    hierarchy = view.hierarchy
    if hierarchy.version in {"v1", "hybrid"}:
        return "this machine has the controllers in cgroup version 1", _UNIFIED_HINT
    if hierarchy.version == "none":
        return (
            "no cgroup2 file system is mounted",
            "as root: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        )
    where = hierarchy.directory or "its control group"
    return (
        f"this process may not divide {where}, and the user's systemd does not answer",
        _LOGIN_HINT,
    )


class CgroupFacts(NamedTuple):
    """For `info` and `doctor`.

    `driver` is "systemd", "cgroupfs" or "none"; `reason` and `hint` say why there is none.
    """

    version: str
    driver: str
    controllers: tuple[str, ...]
    reason: str | None = None
    hint: str | None = None


def facts(environ: Mapping[str, str]) -> CgroupFacts:
    """The controllers that a container would have now. Starts nothing and sends no request."""
    return facts_in(observe(environ))


def facts_in(view: View) -> CgroupFacts:
    """`facts` of a view of the machine."""
    for delegation in candidates(view, frozenset()):
        present = delegation.controllers()
        usable = tuple(name for name in CONTROLLERS if name in present)
        return CgroupFacts(view.hierarchy.version, delegation.driver, usable)
    reason, hint = obstacle(view)
    return CgroupFacts(view.hierarchy.version, "none", (), reason, hint)
