"""config.json: a container's OCI runtime spec, and the image config that follows from it."""

from __future__ import annotations

import os

from rootless.errors import InvalidDocumentError
from rootless.light_json import loads
from rootless.runtime import extensions
from rootless.runtime.idmap import IdMaps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from rootless.containers.record import ContainerRecord

_OF_THE_RUN = frozenset({"HOSTNAME", "TERM"})
"""Variables that a container gets because it is one."""
_DEFAULT_PATH = f"PATH={extensions.DEFAULT_PATH}"
"""Which it gets where neither its image nor the caller names another."""


_MAPPINGS = [{"containerID": int, "hostID": int, "size": int}]
_SHAPE: dict[str, object] = {
    "process": {
        "args": [str],
        "cwd": str,
        "env?": [str],
        "rlimits?": [{"type": str, "soft": int, "hard": int}],
        "oomScoreAdj?": int,
        "user?": {},
        "capabilities?": {},
    },
    "root": {"path": str},
    "mounts": [{"destination": str, "type?": str, "source?": str, "options?": [str]}],
    "annotations?": {},
    "hostname?": str,
    "domainname?": str,
    "linux": {
        "namespaces": [{"type": str}],
        "uidMappings": _MAPPINGS,
        "gidMappings": _MAPPINGS,
        "resources?": {"memory?": {}, "cpu?": {}, "pids?": {}, "blockIO?": {}},
        "maskedPaths?": [str],
        "readonlyPaths?": [str],
    },
}
"""What this program reads of a spec. A type, a list of one shape, or an object with shapes by key, `?` after those that
may be missing; other keys may be there."""


def read_spec(directory: str | Path) -> dict[str, Any]:
    """The OCI configuration of a container. Raises InvalidDocumentError if it cannot be read, or lacks
    what this program reads of it."""
    path = f"{directory}/config.json"
    try:
        with open(path, "rb") as file:
            spec = loads(file.read())
    except OSError as error:
        raise InvalidDocumentError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidDocumentError(f"{path} is not JSON: {error}") from error
    wrong = _misfit(spec, _SHAPE, "")
    if wrong is None and not spec["process"]["args"]:
        wrong = "process.args"
    if wrong is not None:
        raise InvalidDocumentError(f"{path} is damaged: {wrong or 'it'} is missing or malformed")
    document: dict[str, Any] = spec
    return document


def hostname_of(directory: str | Path) -> str:
    """The host name of a container; the host's for one that has none of its own. Raises InvalidDocumentError."""
    return str(read_spec(directory).get("hostname") or os.uname().nodename)


def id_maps_of(directory: str | Path) -> IdMaps:
    """The id maps of a container. Raises InvalidDocumentError."""
    try:
        return IdMaps.from_spec(read_spec(directory)["linux"])
    except ValueError as error:
        raise InvalidDocumentError(f"{directory}/config.json is damaged: {error}") from error


def _misfit(value: object, shape: object, where: str) -> str | None:
    """The path of the first value that does not have the shape."""
    if isinstance(shape, type):
        return None if type(value) is shape else where
    if isinstance(shape, list):
        if not isinstance(value, list):
            return where
        found = (_misfit(each, shape[0], f"{where}[{i}]") for i, each in enumerate(value))
        return next((misfit for misfit in found if misfit is not None), None)
    assert isinstance(shape, dict)
    if not isinstance(value, dict):
        return where
    for key, inner in shape.items():
        name = key.removesuffix("?")
        if name in value:
            misfit = _misfit(value[name], inner, f"{where}.{name}".lstrip("."))
            if misfit is not None:
                return misfit
        elif name == key:
            return f"{where}.{name}".lstrip(".")
    return None


def config_of(
    spec: Mapping[str, Any], record: ContainerRecord, image: Mapping[str, Any]
) -> dict[str, Any]:
    """The config of an image of the container (docker commit): that of its image, with the command, the
    variables, the user, the directory and the labels of the container."""
    from rootless.recording.shell import plain_arguments

    process = spec["process"]
    config = dict(image)
    entrypoint, arguments = _command(list(plain_arguments(tuple(process["args"]))), image)
    config["Entrypoint"], config["Cmd"] = entrypoint, arguments
    config["Env"] = _variables(process.get("env", []), image) or None
    user = spec.get("annotations", {}).get(extensions.USER, "0")
    if user != (image.get("User") or "0"):
        config["User"] = user
    if process["cwd"] != (image.get("WorkingDir") or "/"):
        config["WorkingDir"] = process["cwd"]
    if record.labels:
        config["Labels"] = dict(record.labels)
    return {key: value for key, value in config.items() if value is not None}


def _command(
    words: list[str], image: Mapping[str, Any]
) -> tuple[list[str] | None, list[str] | None]:
    """Entry point and command that were joined; an entry point of --entrypoint is one word."""
    entrypoint = list(image.get("Entrypoint") or ())
    if words[: len(entrypoint)] == entrypoint:
        rest = words[len(entrypoint) :]
        return entrypoint or None, rest or None
    return words[:1], words[1:] or None


def _variables(run: Sequence[str], image: Mapping[str, Any]) -> list[str]:
    given = {entry.partition("=")[0] for entry in image.get("Env") or ()}
    return [
        entry
        for entry in run
        if (name := entry.partition("=")[0]) in given
        or (name not in _OF_THE_RUN and entry != _DEFAULT_PATH)
    ]
