"""The values of `build --output`."""

from __future__ import annotations

import os
from pathlib import Path

from rootless.cli.context import absolute
from rootless.csv_fields import split_fields
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.outputs import Output


def parse_output(text: str) -> Output:
    """`type=TYPE,dest=PATH,...`, or a directory, or `-` for a tar archive on standard output."""
    from rootless.build.outputs import Output, OutputKind

    if "=" not in text:
        if text == "-":
            return Output(OutputKind.TAR, 1)
        return Output(OutputKind.LOCAL, Path(absolute(text)))
    values = {}
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        if not equals:
            raise UsageError(f"invalid value {field}")
        values[key.strip().lower()] = value
    kind = values.pop("type", "")
    destination = values.pop("dest", values.pop("destination", ""))
    push = kind == "registry" or values.pop("push", "") == "true"
    names = tuple(filter(None, values.pop("name", "").split(",")))
    is_directory = values.pop("tar", "true") == "false"
    splits = _bool(values.pop("platform-split", None), "platform-split")
    rewrites = values.pop("rewrite-timestamp", "") == "true"
    if kind in {"image", "registry"} or (kind == "docker" and not destination):
        return Output(OutputKind.IMAGE, None, names, push, rewrites_times=rewrites)
    if kind not in {each.value for each in OutputKind}:
        raise UsageError(
            f"unknown exporter {kind!r}", hint="one of image, local, tar, docker, oci, registry"
        )
    if not destination and kind == "local":
        raise UsageError("dest is required for local exporter")
    if destination in {"", "-"}:
        if os.isatty(1):
            raise UsageError("dest file is required: refusing to write to a terminal")
        return Output(OutputKind(kind), 1, names, rewrites_times=rewrites, splits_platforms=splits)
    return Output(
        OutputKind(kind),
        Path(absolute(destination)),
        names,
        is_directory=is_directory,
        rewrites_times=rewrites,
        splits_platforms=splits,
    )


def _bool(text: str | None, key: str) -> bool | None:
    if text is None:
        return None
    if text.lower() not in {"true", "false", "1", "0"}:
        raise UsageError(f"non-bool value for {key}: {text}")
    return text.lower() in {"true", "1"}
