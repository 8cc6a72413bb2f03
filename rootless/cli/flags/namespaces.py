"""--pid, --ipc, --uts, --cgroupns and --userns."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.network.options import CONTAINER
from rootless.runtime.idmap import UserNamespaceMode
from rootless.spec.options import NamespaceModes


def parse_namespaces(
    *,
    pid: str | None,
    ipc: str | None,
    uts: str | None,
    cgroupns: str | None,
) -> NamespaceModes:
    """Raises UsageError for a mode that does not exist or is not supported yet."""
    given = {"pid": pid, "ipc": ipc, "uts": uts}
    joined = {
        flag: value.removeprefix(CONTAINER)
        for flag, value in given.items()
        if value and value.startswith(CONTAINER)
    }
    for flag, name in joined.items():
        if not name:
            raise UsageError(f"--{flag}: invalid {flag.upper()} mode")
    if len(set(joined.values())) > 1:
        raise UsageError(
            f"the namespaces of two containers cannot be shared: {', '.join(sorted(set(joined.values())))}"
        )
    return NamespaceModes(
        pid="pid" not in joined and _private("pid", pid, {"private"}),
        ipc="ipc" not in joined and _private("ipc", ipc, {"private", "shareable", "none"}),
        shm=ipc != "none",
        uts="uts" not in joined and _private("uts", uts, {"private"}),
        cgroup=_private("cgroupns", cgroupns, {"private"}),
        container=next(iter(joined.values()), ""),
        joined=tuple(joined),
    )


def _private(flag: str, value: str | None, private: set[str]) -> bool:
    if not value or value in private:
        return True
    if value == "host":
        return False
    if value.startswith((CONTAINER, "ns:", "pod")):
        raise UsageError(
            f"--{flag} {value} is not supported yet", hint=f"use --{flag} host or private"
        )
    raise UsageError(f"--{flag}: invalid mode: {value!r}", hint="use host or private")


def parse_userns(text: str | None) -> UserNamespaceMode:
    """Read --userns.

    Raises:
        UsageError: a mode that does not exist, or a malformed option.
    """
    if text is None or text in {"", "host"}:
        return UserNamespaceMode()
    name, _, rest = text.partition(":")
    if name != "keep-id":
        raise UsageError(
            f"--userns {text!r} is not supported",
            hint="use host, keep-id or keep-id:uid=UID,gid=GID",
        )
    values: dict[str, int] = {}
    for option in filter(None, rest.split(",")):
        key, _, value = option.partition("=")
        if key not in {"uid", "gid"} or not value.isdecimal():
            raise UsageError(
                f"--userns keep-id has no option {option!r}", hint="use uid=N and gid=N"
            )
        values[key] = int(value)
    return UserNamespaceMode(True, values.get("uid"), values.get("gid"))
