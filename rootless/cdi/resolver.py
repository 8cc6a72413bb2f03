"""Finds the specification that describes a device, by the priority of the directories. Pure.

A later directory has priority over an earlier one. Two files of one directory that describe the same device are a
conflict, and neither of them does (CDI specification, "Defining a device").
"""

from __future__ import annotations

from rootless.cdi.document import NO_EDITS, CdiSpec, ContainerEdits
from rootless.cdi.names import QualifiedName, parse_qualified
from rootless.errors import UsageError
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class SpecFile(NamedTuple):
    """A file: what it holds, or why it cannot be used. `priority` is the position of its directory."""

    path: str
    priority: int
    spec: CdiSpec | None
    error: str = ""


def resolve(names: Sequence[str], files: Sequence[SpecFile]) -> list[ContainerEdits]:
    """The edits for devices in the order in which they are carried out: those of a file before those of its first
    device.

    Raises:
        UsageError: a device is not described, or by two files of one directory.
    """
    result: list[ContainerEdits] = []
    seen: list[SpecFile] = []
    missing: list[str] = []
    conflicts: list[str] = []
    for name in dict.fromkeys(names):
        qualified = parse_qualified(name)
        found = [] if qualified is None else _describing(qualified, files)
        if qualified is None or not found:
            missing.append(name)
            continue
        if len(found) > 1:
            conflicts.append(f"{name} ({', '.join(each.path for each in found)})")
            continue
        file = found[0]
        assert file.spec is not None  # `_describing` gives no other
        if file not in seen:
            seen.append(file)
            result.append(file.spec.edits)
        result.append(file.spec.devices[qualified.device])
    if missing or conflicts:
        raise _unresolvable(missing, conflicts, files)
    return [each for each in result if each != NO_EDITS]


def device_names(files: Sequence[SpecFile]) -> list[str]:
    """The qualified names of all devices that can be used, sorted."""
    names = {
        QualifiedName(file.spec.kind, device)
        for file in files
        if file.spec is not None
        for device in file.spec.devices
    }
    return sorted(str(name) for name in names if len(_describing(name, files)) == 1)


def _describing(name: QualifiedName, files: Sequence[SpecFile]) -> list[SpecFile]:
    """The files of the highest priority that describe a device."""
    having = [
        file
        for file in files
        if file.spec is not None
        and file.spec.kind == name.kind
        and name.device in file.spec.devices
    ]
    highest = max((file.priority for file in having), default=0)
    return [file for file in having if file.priority == highest]


def _unresolvable(
    missing: Sequence[str], conflicts: Sequence[str], files: Sequence[SpecFile]
) -> UsageError:
    reason = f"unresolvable CDI devices {', '.join(missing)}" if missing else ""
    if conflicts:
        reason += f"{'; ' if reason else ''}conflicting CDI devices {', '.join(conflicts)}"
    if damaged := [file for file in files if file.error]:
        hint = f"the CDI specification {damaged[0].path} cannot be used: {damaged[0].error}"
    elif conflicts:
        hint = "remove one of the files, or move it to another directory"
    else:
        known = device_names(files)
        hint = f"known devices: {', '.join(known)}" if known else "no CDI devices are known here"
    return UsageError(f"CDI device injection failed: {reason}", hint=hint)
