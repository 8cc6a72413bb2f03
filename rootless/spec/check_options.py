"""Refuses invalid values and combinations of options before anything is made. Pure.

The words are the docker daemon's where it has them, because scripts match on them.
"""

from __future__ import annotations

import posixpath

from rootless.errors import UsageError
from rootless.spec.options import NO_RESTART

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.spec.options import ContainerOptions

_STREAMS = 3
"""The standard streams of a command, which are open before it starts."""
_IPC_SYSCTLS = frozenset(
    f"kernel.{name}"
    for name in (
        "msgmax",
        "msgmnb",
        "msgmni",
        "sem",
        "shmall",
        "shmmax",
        "shmmni",
        "shm_rmid_forced",
    )
)


def check_options(options: ContainerOptions) -> None:
    """Raise UsageError for the first thing that is wrong with them."""
    _check_life(options)
    if options.hostname and not options.namespaces.uts:
        raise UsageError("conflicting options: hostname and the UTS mode")
    if options.domainname and not options.namespaces.uts:
        raise UsageError("conflicting options: domainname and the UTS mode host")
    if options.network.container:
        _check_shared_network(options)
    if options.hostname:
        _check_hostname(options.hostname)
    if options.workdir and not options.workdir.startswith("/"):
        raise UsageError(
            f"the working directory {options.workdir!r} is invalid, it needs to be an absolute path"
        )
    if options.umask is not None and not 0 <= options.umask <= 0o777:
        raise UsageError(f"invalid umask: {options.umask:o}", hint="use an octal number up to 0777")
    adjustment = options.oom_score_adj
    if adjustment is not None and not -1000 <= adjustment <= 1000:
        raise UsageError(f"invalid value {adjustment}, range for oom score adj is [-1000, 1000]")
    if options.shm_size <= 0:
        raise UsageError("SHM size can not be less than 0")
    for what, pairs in (("label", options.labels), ("annotation", options.annotations)):
        for name, value in pairs.items():
            _check_text(what, f"{name}={value}")
    _check_ulimits(options)
    _check_layer(options)
    _check_mounts(options)
    _check_sysctls(options)


def _check_shared_network(options: ContainerOptions) -> None:
    """What belongs to a network is set in the container whose network it is."""
    for what, is_set in (
        ("hostname", options.hostname),
        ("dns", options.dns.servers),
        ("custom host-to-IP mapping", options.hosts),
    ):
        if is_set:
            raise UsageError(f"conflicting options: {what} and the network mode")


def _check_life(options: ContainerOptions) -> None:
    if options.remove and options.restart != NO_RESTART:
        raise UsageError("conflicting options: cannot specify both --restart and --rm")
    if options.replace and options.name is None:
        raise UsageError("cannot replace container without --name being set")


def _check_text(what: str, text: str) -> None:
    """What documents of JSON hold is Unicode (RFC 8259, section 8.1)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"invalid {what} {text!r}: not UTF-8") from None


def _check_hostname(text: str) -> None:
    """The kernel takes any 64 bytes (__NEW_UTS_LEN). /etc/hosts, which has the name too, is read by lines."""
    if len(text.encode(errors="surrogateescape")) > 64 or not text.isprintable():
        raise UsageError(f"invalid hostname: {text!r}")


def _check_ulimits(options: ContainerOptions) -> None:
    for limit in options.ulimits:
        if limit.name == "nofile" and 0 <= limit.soft < _STREAMS:
            raise UsageError(f"ulimit nofile={limit.soft}:{limit.hard}: too many open files")


def _check_layer(options: ContainerOptions) -> None:
    """Where the writable layer is."""
    paths = [each.path for each in options.overlays]
    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(f"conflicting options: the overlay {path} is given more than once")
    writable = [each.path for each in options.overlays if not each.read_only]
    if len(writable) > 1:
        raise UsageError(
            f"conflicting options: the overlays {writable[0]} and {writable[1]} are both writable",
            hint="add :ro to all but one",
        )
    if writable and options.writable_tmpfs is not None:
        raise UsageError(
            f"conflicting options: --writable-tmpfs and the writable overlay {writable[0]}",
            hint=f"use --overlay {writable[0]}:ro to read it",
        )


def _check_mounts(options: ContainerOptions) -> None:
    seen = set()
    for mount in options.mounts:
        target = mount.target
        if not target.startswith("/"):
            raise UsageError(f"invalid mount path: {target!r} mount path must be absolute")
        if posixpath.normpath(target) == "/":
            raise UsageError("invalid mount path: destination can't be '/'")
        if target in seen:
            raise UsageError(f"Duplicate mount point: {target}")
        seen.add(target)


def _check_sysctls(options: ContainerOptions) -> None:
    """Only those that a namespace of the container's own has; any other would be the host's."""
    for name, value in options.sysctls.items():
        entry = f"{name}={value}"
        # The container's root writes below /proc/sys by this name: it must stay there.
        if "/" in name or ".." in name:
            raise UsageError(f"sysctl {entry!r} is not allowed")
        if name in _IPC_SYSCTLS or name.startswith("fs.mqueue."):
            if not options.namespaces.ipc:
                raise UsageError(f"sysctl {entry!r} is not allowed in the host's IPC namespace")
        elif name.startswith("net."):
            if not options.network.is_own:
                raise UsageError(f"sysctl {entry!r} is not allowed in the host's network namespace")
        else:
            raise UsageError(f"sysctl {entry!r} is not allowed: it has no namespace")
