"""-e, --env-file, --label, --label-file, --annotation."""

from __future__ import annotations

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from rootless.spec.options import Variables

ReadText: TypeAlias = "Callable[[str], str]"
"""Reads a file the user named; raises OSError or UnicodeDecodeError."""


def parse_variables(
    env: Sequence[str], env_files: Sequence[str], environ: Mapping[str, str], read: ReadText
) -> Variables:
    """-e NAME[=VALUE] and the files of --env-file, which come first, so that -e wins over them.

    NAME alone is the caller's value; without one it takes the image's variable away. Raises
    UsageError.
    """
    result: list[tuple[str, str | None]] = []
    for path in env_files:
        for name, value in parse_lines(path, read):
            if value is not None:
                result.append((name, value))
            elif name in environ:
                result.append((name, environ[name]))
    for entry in env:
        name, separator, value = entry.partition("=")
        if not name:
            raise UsageError(f"invalid environment variable: {entry!r}")
        result.append((name, value if separator else environ.get(name)))
    return tuple(result)


def parse_lines(path: str, read: ReadText) -> list[tuple[str, str | None]]:
    """The lines of an --env-file or --label-file: `NAME=value` word for word, `NAME` alone, `#`
    comments."""
    try:
        text = read(path)
    except OSError as error:
        raise UsageError(f"open {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text") from error
    result: list[tuple[str, str | None]] = []
    for raw in text.removeprefix("\ufeff").splitlines():
        line = raw.lstrip()
        if not line or line.startswith("#"):
            continue
        name, separator, value = line.partition("=")
        if not name:
            raise UsageError(f"{path}: no variable name on line {line!r}")
        if any(character.isspace() for character in name):
            raise UsageError(f"{path}: variable {name!r} contains whitespaces")
        result.append((name, value if separator else None))
    return result


def parse_labels(labels: Sequence[str], files: Sequence[str], read: ReadText) -> dict[str, str]:
    """`NAME=value` or `NAME`; those of the command line win over files. Raises UsageError."""
    result = {name: value or "" for path in files for name, value in parse_lines(path, read)}
    result.update(_pairs("label", labels))
    return result


def parse_annotations(annotations: Sequence[str]) -> dict[str, str]:
    """`NAME=value` or `NAME`. Raises UsageError."""
    return _pairs("annotation", annotations)


def _pairs(what: str, entries: Sequence[str]) -> dict[str, str]:
    result = {}
    for entry in entries:
        name, _, value = entry.partition("=")
        if not name:
            raise UsageError(f"invalid {what} format: {entry!r}")
        result[name] = value
    return result
