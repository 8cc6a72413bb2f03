"""The position of this process in the control group hierarchy, from the texts of /proc/self. Pure but for `observe`.

A machine is in one of four states (systemd's words): *unified*, everything in version 2; *hybrid*,
a version 2 tree beside version 1 hierarchies that keep the controllers; *legacy*, version 1 alone;
or no cgroup file system is mounted at all.
"""

from __future__ import annotations

import os

from rootless.light_stdlib import read_file
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
"""Those that limits need, in the order they are enabled."""

# A scheduler started this process inside limits of its own; systemd would take it out of them.
_BATCH_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID", "JOB_ID", "OAR_JOB_ID")


class Hierarchy(NamedTuple):
    """`version` is "v2", "hybrid", "v1" or "none"; `directory` is that of this process's control
    group in the version 2 tree, `top` the mount point of that tree; both None when there is no such
    tree, or this process is outside of what is mounted of it.
    """

    version: str
    top: str | None = None
    directory: str | None = None


class View(NamedTuple):
    """The facts on which the choice of a delegation depends, read once."""

    hierarchy: Hierarchy
    uid: int
    batch_job: bool
    bus: str | None
    """The socket of the user's message bus or of his systemd; None when there is none."""

    @property
    def has_only_version_2(self) -> bool:
        """Whether the machine has only version 2: else no control group can be delegated."""
        return self.hierarchy.version == "v2" and self.hierarchy.top is not None


def own_path(proc_self_cgroup: str) -> str | None:
    """This process's path in the version 2 hierarchy, `0::PATH` (cgroups(7))."""
    for line in proc_self_cgroup.splitlines():
        if line.startswith("0::"):
            return line[3:].removesuffix(" (deleted)")
    return None


def hierarchy_of(proc_self_cgroup: str, mountinfo: str) -> Hierarchy:
    """Never raises: a line that cannot be parsed is skipped."""
    version1 = unified = False
    top = root = ""
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5:
            continue
        kind, _, rest = after.partition(" ")
        if kind == "cgroup2" and not unified:
            unified, root, top = True, _unescape(fields[3]), _unescape(fields[4])
        elif kind == "cgroup" and "name=" not in rest:
            version1 = True
    if not unified:
        return Hierarchy("v1" if version1 else "none")
    version = "hybrid" if version1 else "v2"
    path = own_path(proc_self_cgroup)
    # The mount may show only a part of the tree, and this process may stand outside it (`/../..`,
    # cgroup_namespaces(7)).
    if path is None or "/.." in path or not f"{path}/".startswith(f"{root.rstrip('/')}/"):
        return Hierarchy(version, top)
    return Hierarchy(version, top, f"{top}{path[len(root.rstrip('/')) :]}".rstrip("/") or top)


def _unescape(field: str) -> str:
    """mountinfo writes blank, tab, newline and backslash in octal (proc_pid_mountinfo(5))."""
    for escape, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escape, char)
    return field


def may_be_divided(directory: str) -> bool:
    """Whether this process may make groups in a control group and move processes there."""
    return all(
        os.access(f"{directory}{name}", os.W_OK)
        for name in ("", "/cgroup.procs", "/cgroup.subtree_control")
    )


def may_delegate(view: View) -> bool:
    """Whether `rootless.cgroups.delegation` may find a group for a container: by the user's systemd, or because this process
    may divide its own group.
    """
    directory = view.hierarchy.directory
    has_systemd = view.bus is not None and not view.batch_job
    owns_group = directory is not None and may_be_divided(directory)
    return view.has_only_version_2 and (has_systemd or owns_group)


def in_batch_job(environ: Mapping[str, str], directory: str | None) -> bool:
    """Whether this process is in a batch system's job, whose limits apply to its containers."""
    return "slurmstepd.scope" in (directory or "") or any(
        name in environ for name in _BATCH_VARIABLES
    )


def observe(environ: Mapping[str, str]) -> View:
    """Reads /proc/self and looks for the bus; some hundred microseconds."""
    hierarchy = hierarchy_of(_read("/proc/self/cgroup"), _read("/proc/self/mountinfo"))
    uid = os.geteuid()
    return View(
        hierarchy=hierarchy,
        uid=uid,
        batch_job=in_batch_job(environ, hierarchy.directory),
        bus=next((path for path in bus_candidates(environ, uid) if os.path.exists(path)), None),
    )


def bus_candidates(environ: Mapping[str, str], uid: int) -> tuple[str, ...]:
    """Sockets where the user's systemd may answer, best first: the bus that was named, the usual
    bus, systemd's own socket.
    """
    named = environ.get("DBUS_SESSION_BUS_ADDRESS", "")
    paths = [
        option.removeprefix("path=")
        for address in named.split(";")
        if address.startswith("unix:")
        for option in address.removeprefix("unix:").split(",")
        if option.startswith("path=")
    ]
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
    return (*paths, f"{runtime}/bus", f"{runtime}/systemd/private")


def controllers_at(directory: str) -> frozenset[str]:
    """The controllers of a control group; empty if they cannot be read."""
    return frozenset(_read(f"{directory}/cgroup.controllers").split())


def _read(path: str) -> str:
    try:
        return os.fsdecode(read_file(path))
    except OSError:
        return ""
