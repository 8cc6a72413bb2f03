"""What `run` was asked for, understood: RunRequest's strings as values. Pure, but for the files the
user names, which are read through `read`.

The grammars are in `rootless.spec.flags`; refusals are UsageError, with Docker's words where
scripts match on them.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.runtime.idmap import UserNamespaceMode, parse_userns
from rootless.spec.flags.environment import (
    ReadText,
    Variables,
    parse_annotations,
    parse_labels,
    parse_variables,
)
from rootless.spec.flags.limits import Limit, parse_sysctls, parse_ulimit
from rootless.spec.flags.mounts import Device, UserMount, parse_device, parse_mounts
from rootless.spec.flags.names import HostEntry, parse_add_host, parse_dns, parse_hostname
from rootless.spec.flags.namespaces import NamespaceModes, parse_namespaces
from rootless.spec.flags.security import SecurityOptions, parse_security
from rootless.spec.flags.sizes import parse_size
from rootless.spec.request import RunRequest
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SHM_SIZE = 64 * 1024 * 1024


class Dns(NamedTuple):
    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


NO_DNS = Dns()
DEFAULT_NAMESPACES = NamespaceModes()
ROOT_IS_CALLER = UserNamespaceMode()
DEFAULT_SECURITY = SecurityOptions()


class ContainerOptions(NamedTuple):
    """None means "as the image or the default says"; an empty `entrypoint` takes the image's
    away."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    sysctls: Mapping[str, str]
    command: tuple[str, ...] = ()
    entrypoint: str | None = None
    workdir: str | None = None
    user: str | None = None
    groups: tuple[str, ...] = ()
    umask: int | None = None
    terminal: bool = False
    interactive: bool = False
    init: bool = False
    read_only: bool = False
    privileged: bool = False
    hostname: str | None = None
    stop_signal: str | None = None
    stop_timeout: int | None = None
    oom_score_adj: int | None = None
    shm_size: int = DEFAULT_SHM_SIZE
    variables: Variables = ()
    mounts: tuple[UserMount, ...] = ()
    devices: tuple[Device, ...] = ()
    limits: tuple[Limit, ...] = ()
    hosts: tuple[HostEntry, ...] = ()
    dns: Dns = NO_DNS
    namespaces: NamespaceModes = DEFAULT_NAMESPACES
    userns: UserNamespaceMode = ROOT_IS_CALLER
    security: SecurityOptions = DEFAULT_SECURITY


def parse_options(
    request: RunRequest, *, environ: Mapping[str, str], cwd: str, read: ReadText
) -> ContainerOptions:
    """Understand a request.

    Raises:
        UsageError: a flag's value makes no sense, or is of something not there yet.
    """
    namespaces = parse_namespaces(
        network=request.network,
        pid=request.pid,
        ipc=request.ipc,
        uts=request.uts,
        cgroupns=request.cgroupns,
    )
    if request.hostname and not namespaces.uts:
        raise UsageError("conflicting options: hostname and the UTS mode host")
    if request.dns and request.network == "none":
        raise UsageError("conflicting options: dns and the network mode none")
    return ContainerOptions(
        command=request.command,
        entrypoint=request.entrypoint,
        workdir=_workdir(request.workdir),
        user=request.user or None,
        groups=request.group_add,
        umask=_umask(request.umask),
        terminal=request.tty,
        interactive=request.interactive,
        init=request.init,
        read_only=request.read_only,
        privileged=request.privileged,
        hostname=parse_hostname(request.hostname) if request.hostname else None,
        stop_signal=None if request.stop_signal is None else parse_signal(request.stop_signal),
        stop_timeout=request.stop_timeout,
        oom_score_adj=_oom_score_adj(request.oom_score_adj),
        shm_size=_shm_size(request.shm_size),
        variables=parse_variables(request.env, request.env_file, environ, read),
        labels=parse_labels(request.label, request.label_file, read),
        annotations=parse_annotations(request.annotation),
        mounts=parse_mounts(request.volume, request.mount, request.tmpfs, cwd),
        devices=tuple(parse_device(text) for text in request.device),
        limits=tuple({x.name: x for x in map(parse_ulimit, request.ulimit)}.values()),
        sysctls=parse_sysctls(
            request.sysctl, private_ipc=namespaces.ipc, private_network=namespaces.network
        ),
        hosts=tuple(parse_add_host(text) for text in request.add_host),
        dns=Dns(tuple(map(parse_dns, request.dns)), request.dns_search, request.dns_option),
        namespaces=namespaces,
        userns=parse_userns(request.userns),
        security=parse_security(
            request.security_opt,
            request.cap_add,
            request.cap_drop,
            privileged=request.privileged,
        ),
    )


def _workdir(text: str | None) -> str | None:
    if text and not text.startswith("/"):
        raise UsageError(
            f"the working directory {text!r} is invalid, it needs to be an absolute path"
        )
    return text or None


def _umask(text: str | None) -> int | None:
    if text is None:
        return None
    if not text or set(text) - set("01234567") or int(text, 8) > 0o777:
        raise UsageError(f"invalid umask: {text!r}", hint="use an octal number up to 0777")
    return int(text, 8)


def _oom_score_adj(value: int | None) -> int | None:
    if value is not None and not -1000 <= value <= 1000:
        raise UsageError(f"invalid value {value}, range for oom score adj is [-1000, 1000]")
    return value


def _shm_size(text: str | None) -> int:
    if text is None:
        return DEFAULT_SHM_SIZE
    size = parse_size(text, "--shm-size")
    if size == 0:
        raise UsageError("SHM size can not be less than 0")
    return size


def parse_signal(text: str) -> str:
    """A signal's name with SIG, from a name with or without it or a number.

    Raises:
        UsageError: there is no such signal.
    """
    import signal

    if text.isascii() and text.isdecimal():
        number = int(text)
        if 1 <= number < signal.NSIG:
            try:
                return signal.Signals(number).name
            except ValueError:
                return f"SIGRTMIN+{number - signal.SIGRTMIN}"
        raise UsageError(f"invalid signal: {text}")
    name = text.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    base, _, offset = name.partition("+")
    valid = base in signal.Signals.__members__ and (
        not offset or (base == "SIGRTMIN" and offset.isdecimal() and int(offset) <= 30)
    )
    if not valid:
        raise UsageError(f"invalid signal: {text}")
    return name


def signal_number(name: str) -> int:
    """The number of a name that `parse_signal` gave."""
    import signal

    base, _, offset = name.partition("+")
    return signal.Signals[base] + int(offset or 0)
