"""The OCI runtime spec (config.json, 1.2) of a container: options, image config, host and id maps
in, one document out. Pure.

The document is what is executed, written as it is beside the container. Who the process is cannot
be known yet: names are looked up in the container's own files once its root is mounted. The request
is therefore carried as an annotation (`extensions.USER`) and `process.user` holds its numbers
where it has some.
"""

from __future__ import annotations

from rootless.errors import HostSupportError, UsageError
from rootless.network.options import CONTAINER
from rootless.runtime import extensions
from rootless.runtime.extensions import DEFAULT_PATH, RECORD_IF_POSSIBLE
from rootless.runtime.idmap import IdMaps
from rootless.spec import default_mounts as mounts
from rootless.spec.command import arguments, variables
from rootless.spec.host import HostFacts
from rootless.spec.options import ContainerOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeAlias

    from rootless.runtime.userdb import Account

Spec: TypeAlias = "dict[str, Any]"


OCI_VERSION = "1.2.0"


def make_spec(
    options: ContainerOptions,
    *,
    container_id: str,
    rootfs: str,
    image_config: Mapping[str, Any] | None,
    host: HostFacts,
    id_maps: IdMaps,
    files: Mapping[str, str],
    seccomp: Mapping[str, Any] | None,
    resources: Mapping[str, Any] | None = None,
    cgroups_path: str | None = None,
    console_size: tuple[int, int] | None = None,
    account: Account | None = None,
    volumes: str = "",
) -> Spec:
    """The spec of one container.

    Args:
        image_config: The `config` object of the image: Entrypoint, Cmd, Env, WorkingDir, User,
        StopSignal, Labels.
        files: Path in the container to path on the host, of /etc/hosts and the like.
        seccomp: The `linux.seccomp` object, or None for an unconfined container.
        resources: The `linux.resources` object.
        console_size: Rows and columns of the terminal at first.
        account: The calling account, for a container in which it keeps its id.
        volumes: The directory of the volumes.

    Raises:
        UsageError: there is no command.
        HostSupportError: additional groups for an account without subordinate ids.
    """
    image = image_config or {}
    hostname = options.hostname or (container_id[:12] if options.namespaces.uts else None)
    spec: Spec = {
        "ociVersion": OCI_VERSION,
        "process": _process(
            options, image, hostname, host=host, id_maps=id_maps, console_size=console_size
        ),
        "root": {"path": rootfs, "readonly": options.read_only},
        "mounts": _mounts(options, host, files, volumes),
        "annotations": _annotations(options, image, id_maps, account),
        "linux": {
            **_linux(options, id_maps),
            **({"resources": dict(resources)} if resources else {}),
            **({"cgroupsPath": cgroups_path} if cgroups_path else {}),
            **({} if seccomp is None else {"seccomp": dict(seccomp)}),
        },
    }
    if options.namespaces.uts and hostname:
        spec["hostname"] = hostname
        if options.domainname:
            spec["domainname"] = options.domainname
    return spec


def _mounts(
    options: ContainerOptions, host: HostFacts, files: Mapping[str, str], volumes: str
) -> list[dict[str, Any]]:
    """The default ones, but for those in whose place another is asked for, and the files that no mount of the user hides."""
    taken = {mount.target for mount in options.mounts}
    shown = {target: source for target, source in files.items() if target not in taken}
    return mounts.merged(
        mounts.default_mounts(options, host),
        [
            *mounts.file_mounts(shown, read_only=options.read_only),
            *mounts.device_mounts(options, host),
            *mounts.user_mounts(options, volumes),
        ],
    )


def environment(
    options: ContainerOptions, image: Mapping[str, Any], hostname: str | None
) -> list[str]:
    """NAME=value, each name once: defaults, then the image's, then the user's. HOME is added when the
    user is looked up."""
    defaults = {"PATH": DEFAULT_PATH}
    if hostname:
        defaults["HOSTNAME"] = hostname
    if options.terminal:
        defaults["TERM"] = "xterm"
    return variables(options, image, defaults)


def _process(
    options: ContainerOptions,
    image: Mapping[str, Any],
    hostname: str | None,
    *,
    host: HostFacts,
    id_maps: IdMaps,
    console_size: tuple[int, int] | None,
) -> dict[str, Any]:
    user: dict[str, Any] = _numeric_user(requested_user(options, image, id_maps))
    if options.umask is not None:
        user["umask"] = options.umask
    names = [f"CAP_{name}" for name in sorted(options.security.capabilities)]
    process: dict[str, Any] = {
        "terminal": options.terminal,
        "user": user,
        "args": list(arguments(options.command, options.entrypoint, image)),
        "env": environment(options, image, hostname),
        "cwd": working_directory(options, image),
        "capabilities": {"bounding": names, "effective": names, "permitted": names},
        "noNewPrivileges": options.security.no_new_privileges,
        "rlimits": _limits(options, host),
    }
    if options.oom_score_adj is not None:
        process["oomScoreAdj"] = options.oom_score_adj
    if options.terminal and console_size is not None:
        process["consoleSize"] = {"height": console_size[0], "width": console_size[1]}
    return process


def requested_user(options: ContainerOptions, image: Mapping[str, Any], id_maps: IdMaps) -> str:
    """Who the process is to be. With an id kept, that one: it is what keeping is for (podman run --userns keep-id)."""
    if options.user:
        return options.user
    if id_maps.kept is not None:
        return f"{id_maps.kept[0]}:{id_maps.kept[1]}"
    return str(image.get("User") or "0")


def _numeric_user(request: str) -> dict[str, Any]:
    uid, _, gid = request.partition(":")
    return {
        "uid": int(uid) if uid.isdecimal() else 0,
        "gid": int(gid) if gid.isdecimal() else 0,
    }


def _limits(options: ContainerOptions, host: HostFacts) -> list[dict[str, Any]]:
    def number(value: int) -> int:
        return 2**64 - 1 if value < 0 else value

    result = []
    for limit in options.ulimits:
        most = host.hard_limits.get(limit.name, -1)
        if most >= 0 and (limit.hard < 0 or limit.hard > most):
            raise UsageError(
                f"ulimit {limit.name}={limit.soft}:{limit.hard} is above what this account "
                f"may have ({most})"
            )
        result.append(
            {
                "type": f"RLIMIT_{limit.name.upper()}",
                "soft": number(limit.soft),
                "hard": number(limit.hard),
            }
        )
    return result


def _annotations(
    options: ContainerOptions, image: Mapping[str, Any], id_maps: IdMaps, account: Account | None
) -> dict[str, str]:
    result = dict(options.annotations)
    result[extensions.USER] = requested_user(options, image, id_maps)
    if options.user:
        result[extensions.USER_REQUIRED] = "true"
    if account is not None and id_maps.kept is not None:
        entries = user_entries(options, image, id_maps, account)
        result[extensions.USER_ENTRY] = entries["passwd"]
        result[extensions.GROUP_ENTRY] = entries["group"]
        if options.userns.single:
            result[extensions.USER_ENTRY_FIRST] = "true"
    if options.groups and id_maps.single:
        raise HostSupportError(
            f"--group-add {options.groups[0]}: this account has no subordinate ids, so it can have no other group",
            hint="have the administrator add a range to /etc/subuid and /etc/subgid",
        )
    if options.groups:
        result[extensions.GROUPS] = ",".join(options.groups)
    if options.init:
        result[extensions.INIT] = "true"
    if options.workdir_required:
        result[extensions.DIRECTORY_REQUIRED] = "true"
    if id_maps.single and not options.userns.single:
        chown = options.security.chown
        result[extensions.PRETEND_OWNERSHIP] = "true"
        result[extensions.CHOWN] = RECORD_IF_POSSIBLE if chown is None else chown.value
    return result


def user_entries(
    options: ContainerOptions, image: Mapping[str, Any], id_maps: IdMaps, account: Account
) -> dict[str, str]:
    """The lines of passwd(5) and group(5) for an account whose ids the maps keep."""
    assert id_maps.kept is not None
    uid, gid = id_maps.kept
    home = _home(options, image, account)
    user = (account.user, "*", str(uid), str(gid), account.full_name, home, "/bin/sh")
    return {"passwd": ":".join(user), "group": f"{account.group}:x:{gid}:{account.user}"}


def _home(options: ContainerOptions, image: Mapping[str, Any], account: Account) -> str:
    """The account's own home directory where it is mounted, else the working directory (podman). Of a container with
    the caller's id alone HOME is where the home is mounted.
    """
    if options.userns.single:
        return dict(options.variables).get("HOME") or account.home
    for mount in options.mounts:
        if f"{account.home}/".startswith(f"{mount.target.rstrip('/')}/"):
            return account.home
    return working_directory(options, image)


def working_directory(options: ContainerOptions, image: Mapping[str, Any]) -> str:
    return str(options.workdir or image.get("WorkingDir") or "/")


def _linux(options: ContainerOptions, id_maps: IdMaps) -> dict[str, Any]:
    linux: dict[str, Any] = {"namespaces": _namespaces(options), **id_maps.to_spec()}
    sysctls = _network_sysctls(id_maps) if options.network.is_private else {}
    if sysctls or options.sysctls:
        linux["sysctl"] = {**sysctls, **options.sysctls}
    security = options.security
    unmask = set(security.unmask)
    masked = () if security.unmask_all else mounts.MASKED_PATHS
    protected = () if security.unmask_all else mounts.READONLY_PATHS
    linux["maskedPaths"] = [p for p in (*masked, *security.mask) if p not in unmask]
    linux["readonlyPaths"] = [p for p in protected if p not in unmask]
    return linux


def _namespaces(options: ContainerOptions) -> list[dict[str, str]]:
    """New ones, and those of another container, which `path` names."""
    own, network = options.namespaces, options.network
    names = ["user", "mount"]
    names += [n for n in ("pid", "ipc", "uts", "cgroup") if getattr(own, n)]
    names += ["network"] if network.is_own else []
    shared = [{"type": "network", "path": network.name}] if network.container else []
    shared += [{"type": name, "path": f"{CONTAINER}{own.container}"} for name in own.joined]
    return [*({"type": name} for name in names), *shared]


def _network_sysctls(id_maps: IdMaps) -> dict[str, str]:
    """Docker's for a private network: any user of the container binds every port, and pings (icmp(7))."""
    first = min(each.inside for each in id_maps.gids)
    last = max(each.inside + each.size - 1 for each in id_maps.gids)
    return {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": f"{first} {last}",
    }
