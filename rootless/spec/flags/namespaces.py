"""--network, --pid, --ipc, --uts, --cgroupns: which namespaces are the container's own."""

from __future__ import annotations

from rootless.errors import UsageError
from unionfs.light_types import NamedTuple


class NamespaceModes(NamedTuple):
    """True: a new one; False: the host's."""

    network: bool = False
    pid: bool = True
    ipc: bool = True
    uts: bool = True
    cgroup: bool = True


_HINT = "there are --network host and --network none"


def parse_namespaces(
    *,
    network: str | None,
    pid: str | None,
    ipc: str | None,
    uts: str | None,
    cgroupns: str | None,
) -> NamespaceModes:
    """Network is the host's unless `none` is asked for.

    Raises:
        UsageError: a mode that does not exist or is not supported yet.
    """
    if network not in {None, "host", "none"}:
        raise UsageError(f"network {network!r} is not supported yet", hint=_HINT)
    return NamespaceModes(
        network=network == "none",
        pid=_private("pid", pid, {"private"}),
        ipc=_private("ipc", ipc, {"private", "shareable", "none"}),
        uts=_private("uts", uts, {"private"}),
        cgroup=_private("cgroupns", cgroupns, {"private"}),
    )


def _private(flag: str, value: str | None, private: set[str]) -> bool:
    if not value or value in private:
        return True
    if value == "host":
        return False
    if value.startswith(("container:", "ns:", "pod")):
        raise UsageError(
            f"--{flag} {value} is not supported yet", hint=f"use --{flag} host or private"
        )
    raise UsageError(f"--{flag}: invalid mode: {value!r}", hint="use host or private")
