"""A container's OCI configuration, and what of it an image made of the container would say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rootless.errors import InvalidDocumentError
from rootless.runtime import extensions

if TYPE_CHECKING:
    from rootless.containers.record import ContainerRecord

_OF_THE_RUN = frozenset({"HOSTNAME", "TERM"})
"""Variables that a container gets because it is one."""


def read_spec(directory: Path) -> dict[str, Any]:
    """The OCI configuration of a container. Raises InvalidDocumentError."""
    path = directory / "config.json"
    try:
        spec: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidDocumentError(f"{path} cannot be read: {error}") from error
    return spec


def config_of(
    spec: Mapping[str, Any], record: ContainerRecord, image: Mapping[str, Any]
) -> dict[str, Any]:
    """What to run, as the container ran it (docker commit): the image's config, with the command,
    the variables, the user, the directory and the labels of the container."""
    process = spec["process"]
    config = dict(image)
    entrypoint, arguments = _command(list(process["args"]), image)
    config["Entrypoint"], config["Cmd"] = entrypoint, arguments
    config["Env"] = _variables(process.get("env", []), image)
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
        if (name := entry.partition("=")[0]) in given or name not in _OF_THE_RUN
    ]
