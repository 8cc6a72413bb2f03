"""The options of `exec` as a value, and the OCI runtime spec of its process. Pure."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.runtime import extensions
from rootless.syscalls.capabilities import NAMES
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.runtime.extensions import ChownMode

_CWD_NOT_ABSOLUTE = 128
"""Docker's exit status of `exec --workdir` with a relative path."""


class ExecOptions(NamedTuple):
    """The options of `Engine.exec`.

    `variables` are in order; None takes a variable of the container away. `workdir` and `user` are the
    container's where they are None, and so is `chown`. `detach_keys` are docker's where there are none.
    """

    command: tuple[str, ...]
    variables: tuple[tuple[str, str | None], ...] = ()
    workdir: str | None = None
    user: str | None = None
    privileged: bool = False
    terminal: bool = False
    interactive: bool = False
    detach: bool = False
    detach_keys: bytes = b""
    chown: ChownMode | None = None
    preserved: tuple[int, ...] = ()
    """Descriptors of the caller that the command gets by their numbers, beside the standard streams."""


def spec_of_process(
    spec: Mapping[str, Any], options: ExecOptions, console_size: tuple[int, int] | None
) -> dict[str, Any]:
    """The container's spec with the process that `options` ask for. `console_size` is rows, columns.

    Raises:
        UsageError: there is no command, or the working directory is not an absolute path.
    """
    if not options.command:
        raise UsageError("no exec command in API")
    process: dict[str, Any] = dict(spec["process"])
    process["args"] = list(options.command)
    process["env"] = _environment(process.get("env", ()), options)
    process["terminal"] = options.terminal
    process.pop("consoleSize", None)
    if console_size is not None:
        process["consoleSize"] = {"height": console_size[0], "width": console_size[1]}
    if options.workdir:
        process["cwd"] = options.workdir
    if not process["cwd"].startswith("/"):
        error = UsageError(f"the working directory {process['cwd']!r} is not an absolute path")
        error.exit_status = _CWD_NOT_ABSOLUTE
        raise error
    if options.privileged:
        names = [f"CAP_{name}" for name in NAMES]
        process["capabilities"] = {"bounding": names, "effective": names, "permitted": names}
    annotations = dict(spec.get("annotations", {}))
    annotations.pop(extensions.USER_ENTRY, None)  # the container's first process has been given it
    if options.user:
        annotations[extensions.USER] = options.user
        annotations[extensions.USER_REQUIRED] = "true"
    if options.chown is not None:
        annotations[extensions.CHOWN] = options.chown.value
    return {**spec, "process": process, "annotations": annotations}


def _environment(env: tuple[str, ...], options: ExecOptions) -> list[str]:
    """The container's variables, and the options' over them."""
    values: dict[str, str] = {}
    for entry in env:
        name, _, text = entry.partition("=")
        values[name] = text
    if options.terminal:
        values.setdefault("TERM", "xterm")
    for name, value in options.variables:
        if value is None:
            values.pop(name, None)
        else:
            values[name] = value
    return [f"{name}={value}" for name, value in values.items()]
