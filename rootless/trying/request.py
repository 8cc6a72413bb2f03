"""Makes the container options of `try`. Pure.

The root file system is the host's, copy on write. User, home, working directory, environment, host name and umask
are the caller's.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import NamedTuple

from rootless.containers.random_names import name_for
from rootless.errors import UsageError
from rootless.network.options import HOST, NetworkOptions
from rootless.runtime.idmap import UserNamespaceMode
from rootless.spec.options import (
    Bind,
    ContainerOptions,
    Device,
    NamespaceModes,
    SecurityOptions,
    TraceOptions,
)

LABEL = "rootless.try"
"""Of containers that `try` has made."""

_AGENTS = frozenset(
    {
        "DBUS_SESSION_BUS_ADDRESS",
        "DISPLAY",
        "GPG_AGENT_INFO",
        "SSH_AGENT_PID",
        "SSH_AUTH_SOCK",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
    }
)
"""Variables that lead to programs which act for the user."""


_OF_KERNEL = ("/dev", "/proc", "/sys")
"""Where the container has mounts of its own over the host's files."""


class TryRequest(NamedTuple):
    """Paths are absolute. `on`: directories that are copy on write, while the rest is read-only; empty for all.
    `through`: what is the host's itself, without a copy. `hidden`: what appears empty. `devices`: those of the host
    that the command may use besides the standard ones.
    """

    command: tuple[str, ...]
    name: str
    on: tuple[str, ...] = ()
    through: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    network: NetworkOptions = NetworkOptions(HOST)
    agents: bool = False
    remove: bool = False
    trace: TraceOptions | None = None
    snapshot_each: str = ""
    terminal: bool = False
    devices: tuple[str, ...] = ()


def options_of_try(
    request: TryRequest, environ: Mapping[str, str], *, directory: str, umask: int
) -> ContainerOptions:
    """The container of a request. `directory` is the working directory.

    Raises:
        UsageError: a path is the root, one that --rw names is to be hidden, or --on names one of the kernel's.
    """
    for path in (*request.on, *request.through, *request.hidden):
        if posixpath.normpath(path) == "/":
            raise UsageError("the root directory cannot be a path of --on, --rw or --hide")
    for path in request.on:
        if _is_within(path, _OF_KERNEL):
            raise UsageError(f"--on {path}: there are no files there that could be copied")
    for path in request.through:
        if path in request.hidden:
            raise UsageError(f"{path} cannot be both written to (--rw) and hidden (--hide)")
    variables: list[tuple[str, str | None]] = [
        (name, value) for name, value in environ.items() if request.agents or name not in _AGENTS
    ]
    if "PATH" not in environ:
        variables.append(("PATH", None))
    return ContainerOptions(
        rootfs="/",
        name=request.name,
        remove=request.remove,
        trace=request.trace,
        snapshot_each=request.snapshot_each,
        labels={LABEL: "1"},
        command=request.command,
        entrypoint="",
        workdir=directory,
        umask=umask,
        variables=tuple(variables),
        terminal=request.terminal,
        interactive=True,
        job_control=True,
        init=True,
        mounts=tuple(Bind(path, path) for path in request.through),
        devices=tuple(Device(path, path) for path in request.devices),
        read_only=bool(request.on),
        writable=request.on,
        hidden=request.hidden,
        own_etc=True,
        network=request.network,
        namespaces=NamespaceModes(uts=False),
        userns=UserNamespaceMode(keep=True),
        security=SecurityOptions(
            capabilities=frozenset(),
            seccomp="unconfined",
            mask=tuple(
                path for path in request.hidden if _is_within(path, (*request.through, *_OF_KERNEL))
            ),
            unmask_all=True,
        ),
    )


def new_name(seed: str) -> str:
    """A name for a container, of random hexadecimal digits."""
    return f"try-{name_for(seed)}"


def _is_within(path: str, directories: tuple[str, ...]) -> bool:
    return any(f"{path}/".startswith(f"{each}/") for each in directories)
