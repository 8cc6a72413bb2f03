"""Applies the edits of CDI devices to an OCI runtime spec. Pure."""

from __future__ import annotations

from rootless.errors import HostSupportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rootless.cdi.document import ContainerEdits, Hook, Mount


def apply_edits(spec: dict[str, Any], edits: Sequence[ContainerEdits]) -> dict[str, Any]:
    """The spec with the edits, in their order: a variable and a mount take the place of an earlier one.

    Raises HostSupportError for Intel's Resource Director Technology.
    """
    if any(each.has_intel_rdt for each in edits):
        raise HostSupportError(
            "CDI device injection failed: intelRdt is not supported: only root may write /sys/fs/resctrl"
        )
    process = dict(spec["process"])
    process["env"] = _environment(process["env"], [v for each in edits for v in each.env])
    if gids := [gid for each in edits for gid in each.additional_gids]:
        known = process["user"].get("additionalGids", ())
        process["user"] = process["user"] | {"additionalGids": list(dict.fromkeys([*known, *gids]))}
    added = [
        {
            "destination": node.path,
            "type": "bind",
            "source": node.host_path,
            "options": ["bind", "nosuid", "noexec"],
        }
        for each in edits
        for node in each.devices
    ]
    added += [_oci_mount(mount) for each in edits for mount in each.mounts]
    result = spec | {"process": process, "mounts": _mounts(spec["mounts"], added)}
    if hooks := [hook for each in edits for hook in each.hooks]:
        result["hooks"] = _hooks(spec.get("hooks", {}), hooks)
    return result


def _environment(variables: Sequence[str], added: Sequence[str]) -> list[str]:
    values = dict(each.partition("=")[::2] for each in (*variables, *added))
    return [f"{name}={value}" for name, value in values.items()]


def _oci_mount(mount: Mount) -> dict[str, Any]:
    """One without a type is a bind mount: all that the specification's mounts can be with a path of the host."""
    options = list(mount.options)
    if mount.type in {"", "bind", "none"} and not {"bind", "rbind"} & set(options):
        options.insert(0, "rbind")
    return {
        "destination": mount.container_path,
        "type": mount.type or "bind",
        "source": mount.host_path,
        "options": options,
    }


def _mounts(
    mounts: Sequence[dict[str, Any]], added: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The last of each target, outer before inner."""
    by_target = {each["destination"].rstrip("/") or "/": each for each in (*mounts, *added)}
    return sorted(by_target.values(), key=lambda each: str(each["destination"]).count("/"))


def _hooks(known: dict[str, Any], added: Sequence[Hook]) -> dict[str, Any]:
    result: dict[str, list[dict[str, Any]]] = {name: list(each) for name, each in known.items()}
    for hook in added:
        entry: dict[str, Any] = {"path": hook.path}
        if hook.args:
            entry["args"] = list(hook.args)
        if hook.env:
            entry["env"] = list(hook.env)
        if hook.timeout:
            entry["timeout"] = hook.timeout
        result.setdefault(hook.name, []).append(entry)
    return result
