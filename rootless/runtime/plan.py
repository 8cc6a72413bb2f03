"""Plans a start: from the OCI runtime spec to an ordered list of steps. Pure: the same spec gives the same plan.

The order matters. Sources and the root are opened first, while the caller's groups still open them.
/proc and /sys are mounted while the host's are visible, since the kernel refuses a new instance
otherwise (mount_too_revealing). Sysctls are written before /proc/sys is made read-only. Binds and
masks come before the read-only root, because their targets may have to be made; the umask comes
last, because what the start makes has the mode it is made with. After EnterRoot no path leads to the
host's tree: it is detached.
"""

from __future__ import annotations

from rootless.errors import HostSupportError, InvalidDocumentError
from rootless.runtime import extensions
from rootless.runtime.execution import Execute, credentials_of
from rootless.runtime.idmap import IdMaps, to_outside
from rootless.runtime.mount_options import MountOptions, parse_mount_options
from rootless.runtime.rootfs import (
    FSTYPE,
    ROOT_TREE,
    BindRootfs,
    FuseRootfs,
    OverlayRootfs,
    Rootfs,
    SharedRootfs,
)
from rootless.runtime.steps import attributes, filesystem
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence
    from typing import Any

    from rootless.runtime.execution import Credentials
    from rootless.runtime.steps.context import Step

NAMESPACES = ("user", "mount", "pid", "network", "ipc", "uts", "cgroup")


class Plan(NamedTuple):
    """`namespaces` are made by clone3(2); the cgroup namespace is a step, because it is entered
    later."""

    namespaces: frozenset[str]
    steps: tuple[Step, ...]
    credentials: Credentials
    execute: Execute

    def describe(self) -> list[str]:
        first = "clone with new " + ", ".join(n for n in NAMESPACES if n in self.namespaces)
        lines = [step.describe() for step in self.steps]
        return [first, *lines, self.credentials.describe(), self.execute.describe()]


def make_plan(
    spec: Mapping[str, Any],
    *,
    rootfs: Rootfs,
    id_maps: IdMaps,
    bundle: str = "/",
    entered: Container[str] = (),
) -> Plan:
    """The plan of a spec; relative bind sources are taken from `bundle`. `entered` are the types of namespaces that
    the process is made in.

    Raises:
        InvalidDocumentError: the spec lacks what it must have.
        HostSupportError: it joins a namespace by path that is not among `entered`.
    """
    process, linux = spec.get("process"), spec.get("linux", {})
    if not isinstance(process, dict) or not process.get("args"):
        raise InvalidDocumentError("config.json: process.args is empty")
    namespaces = _new_namespaces(linux, entered)
    mounts = [_Mounted(i, m, bundle) for i, m in enumerate(spec.get("mounts", ()))]
    sequence: list[Step] = []
    if process.get("oomScoreAdj") is not None:
        sequence.append(attributes.AdjustOomScore(int(process["oomScoreAdj"])))
    sequence.append(filesystem.DetachPropagation())
    sequence += [m.open() for m in mounts if m.options.bind and not m.options.own]
    is_written = extensions.USER_ENTRY in spec.get("annotations", {})
    sequence += _root(rootfs, id_maps, mounts, is_written=is_written)
    uid, gid = id_maps.root
    sequence.append(attributes.BecomeSetupUser(uid, gid, drop_groups=id_maps.helper))
    sequence += _in_namespaces(spec, namespaces)
    for mounted in mounts:
        sequence += mounted.attach(id_maps)
    if process.get("terminal"):
        size = process.get("consoleSize", {})
        sequence.append(
            filesystem.AllocateTerminal(int(size.get("height", 0)), int(size.get("width", 0)))
        )
    sequence += [attributes.WriteSysctl(str(k), str(v)) for k, v in linux.get("sysctl", {}).items()]
    sequence += [filesystem.MaskPath(str(path)) for path in linux.get("maskedPaths", ())]
    sequence += [filesystem.ProtectPath(str(path)) for path in linux.get("readonlyPaths", ())]
    sequence += _hooks(spec, bundle, "createContainer", "creating")
    sequence.append(filesystem.EnterRoot())
    sequence += attributes.identity_steps(spec, process, id_maps)
    sequence += [filesystem.GiveToUser(m.target) for m in mounts if m.options.chown]
    sequence.append(_working_directory(spec, process))
    if spec.get("root", {}).get("readonly"):
        sequence.append(filesystem.ProtectRoot())
    sequence += attributes.limits_of(process)
    sequence += _hooks(spec, bundle, "startContainer", "created")
    sequence.append(attributes.SetUmask(int(process.get("user", {}).get("umask", 0o022))))
    return Plan(
        frozenset(namespaces - {"cgroup"}),
        tuple(sequence),
        credentials_of(process),
        _execute(spec, process),
    )


def _working_directory(spec: Mapping[str, Any], process: Mapping[str, Any]) -> Step:
    path = str(process.get("cwd") or "/")
    has_to_exist = spec.get("annotations", {}).get(extensions.DIRECTORY_REQUIRED) == "true"
    return attributes.EnterDirectory(path) if has_to_exist else attributes.ChangeDirectory(path)


def _execute(spec: Mapping[str, Any], process: Mapping[str, Any]) -> Execute:
    annotations = spec.get("annotations", {})
    return Execute(
        tuple(map(str, process["args"])),
        tuple(map(str, process.get("env", ()))),
        init=annotations.get(extensions.INIT) == "true",
        terminal=bool(process.get("terminal")),
        holds=annotations.get(extensions.HOLD) == "true",
    )


def _new_namespaces(linux: Mapping[str, Any], entered: Container[str]) -> set[str]:
    """The types of namespaces to make. Raises as `make_plan` does."""
    namespaces = set()
    for entry in linux.get("namespaces", ()):
        if "path" in entry and entry["type"] in entered:
            continue
        if "path" in entry:
            raise HostSupportError(
                f"config.json: joining an existing {entry['type']} namespace "
                f"({entry['path']}) is not supported"
            )
        namespaces.add(str(entry["type"]))
    if not {"user", "mount"} <= namespaces:
        raise InvalidDocumentError("config.json: a user and a mount namespace are required")
    return namespaces


def _hooks(spec: Mapping[str, Any], bundle: str, point: str, status: str) -> Sequence[Step]:
    if "hooks" not in spec:
        return ()
    from rootless.runtime.hooks import hooks_of, state_of
    from rootless.runtime.steps.hooks import ExecuteHooks

    hooks = hooks_of(spec, point)
    return [ExecuteHooks(hooks, state_of(spec, bundle), status)] if hooks else []


def _in_namespaces(spec: Mapping[str, Any], namespaces: set[str]) -> list[Step]:
    """What is set in new namespaces that have no files."""
    steps: list[Step] = []
    if "cgroup" in namespaces:
        steps.append(attributes.JoinCgroupNamespace())
    if "network" in namespaces:
        steps.append(attributes.RaiseLoopback())
    if hostname := spec.get("hostname"):
        steps.append(attributes.SetHostname(str(hostname), str(spec.get("domainname", ""))))
    return steps


def _root(
    rootfs: Rootfs, id_maps: IdMaps, mounts: Sequence[_Mounted], *, is_written: bool
) -> list[Step]:
    """`is_written`: files of the root are changed before it becomes read-only."""
    uid, gid = id_maps.root
    match rootfs:
        case FuseRootfs():
            mount = filesystem.MountUnion(rootfs.mountpoint, rootfs.source, FSTYPE, False, uid, gid)
            if not rootfs.root_name:
                return [mount]
            return [mount, filesystem.EnterUnion(rootfs.mountpoint, rootfs.root_name)]
        case OverlayRootfs():
            from rootless.runtime.steps import overlay

            lower = f"{rootfs.directory}/{overlay.LOWER}"
            if rootfs.native:
                return [
                    overlay.BindLower(rootfs.native, lower),
                    overlay.MountOverlay(rootfs.directory, rootfs.volatile),
                ]
            return [
                filesystem.MountUnion(lower, rootfs.source, FSTYPE, True, uid, gid),
                overlay.MountOverlay(rootfs.directory, rootfs.volatile),
            ]
        case SharedRootfs():
            from rootless.runtime.steps import overlay

            return [
                overlay.AttachLower(ROOT_TREE, f"{rootfs.directory}/{overlay.LOWER}"),
                overlay.MountOverlayInMemory(
                    rootfs.directory, None if is_written else _outermost(mounts)
                )
                if rootfs.in_memory
                else overlay.MountOverlay(rootfs.directory, rootfs.volatile),
            ]
        case BindRootfs():
            # Recursively: the kernel refuses to bind less than the whole of a tree it shows an
            # unprivileged user.
            return [
                filesystem.OpenSource(ROOT_TREE, rootfs.path, recursive=True),
                filesystem.BindRoot(ROOT_TREE, rootfs.path),
            ]


def _outermost(mounts: Sequence[_Mounted]) -> tuple[str, ...]:
    """The mount points that are not below another one."""
    targets = [mounted.target for mounted in mounts]
    return tuple(
        target
        for target in targets
        if not any(target.startswith(f"{each.rstrip('/')}/") for each in targets)
    )


class _Mounted:
    """One entry of `mounts`, read."""

    def __init__(self, key: int, entry: Mapping[str, Any], bundle: str) -> None:
        self.key = key
        self._bundle = bundle
        self.target = str(entry["destination"])
        self.options: MountOptions = parse_mount_options(
            tuple(map(str, entry.get("options", ()))), bind=entry.get("type") in {"bind", "none"}
        )
        self.fstype = str(entry.get("type", "bind"))
        self.source = str(entry.get("source") or self.fstype)
        if self.options.bind and not self.source.startswith("/"):
            self.source = f"{bundle}/{self.source}"

    def open(self) -> Step:
        if self.options.served or self.options.of_container:
            return filesystem.TakeTree(
                self.key, self.source, self.options.subpath, f"{self._bundle}/rootfs"
            )
        return filesystem.OpenSource(self.key, self.source, self.options.recursive)

    def attach(self, id_maps: IdMaps) -> Sequence[Step]:
        options = self.options
        if options.own:
            return [filesystem.BindInRoot(self.target)]
        if options.bind:
            return [
                filesystem.AttachSource(
                    self.key,
                    self.source,
                    self.target,
                    options.attributes,
                    options.recursive_attributes,
                    options.propagation,
                    options.optional,
                )
            ]
        data = options.data
        if self.fstype == "devpts":
            # The group of terminals is 5 by custom; devpts refuses an id that the map does not
            # have.
            data = tuple(o for o in data if o != "gid=5" or to_outside(id_maps.gids, 5) is not None)
        result: list[Step] = [
            filesystem.Mount(self.target, self.fstype, self.source, data, options.attributes)
        ]
        if self.fstype == "tmpfs" and self.target == "/dev":
            result += _DEV_LINKS
        return result


_DEV_LINKS: tuple[Step, ...] = (
    filesystem.MakeSymlink("/proc/self/fd", "/dev/fd"),
    filesystem.MakeSymlink("/proc/self/fd/0", "/dev/stdin"),
    filesystem.MakeSymlink("/proc/self/fd/1", "/dev/stdout"),
    filesystem.MakeSymlink("/proc/self/fd/2", "/dev/stderr"),
    filesystem.MakeSymlink("/proc/kcore", "/dev/core"),
    filesystem.MakeSymlink("pts/ptmx", "/dev/ptmx"),
)
