"""-e, --env-file, --label, --label-file, --annotation."""

from __future__ import annotations

from rootless.cli.grammar import GrammarError
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

    NAME alone is the caller's value; without one it takes the image's variable away.

    Raises:
        GrammarError: a file cannot be read or has an invalid line.
        UsageError: an entry has no name.
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
    comments. Raises GrammarError, because docker's command line refuses such a file, and not its daemon.
    """
    try:
        text = read(path)
    except OSError as error:
        raise GrammarError(f"open {path}: {(error.strerror or '').lower()}") from error
    except UnicodeDecodeError as error:
        raise GrammarError(f"invalid env file ({path}): it is not UTF-8 text") from error
    result: list[tuple[str, str | None]] = []
    for raw in text.removeprefix("\ufeff").splitlines():
        line = raw.lstrip()
        if not line or line.startswith("#"):
            continue
        name, separator, value = line.partition("=")
        if not name:
            raise GrammarError(f"invalid env file ({path}): no variable name on line '{line}'")
        if any(character.isspace() for character in name):
            raise GrammarError(f"invalid env file ({path}): variable '{name}' contains whitespaces")
        result.append((name, value if separator else None))
    return result


def parse_labels(labels: Sequence[str], files: Sequence[str], read: ReadText) -> dict[str, str]:
    """`NAME=value` or `NAME`; those of the command line win over files, in which `NAME` alone is no label, as
    in docker and podman. Raises UsageError, and GrammarError for a file.
    """
    result = {
        name: value
        for path in files
        for name, value in parse_lines(path, read)
        if value is not None
    }
    for entry in labels:
        name, _, value = entry.partition("=")
        if not name:
            raise UsageError(f"invalid label format: {entry!r}")
        result[name] = value
    return result


def parse_annotations(annotations: Sequence[str]) -> dict[str, str]:
    """`NAME=value` or `NAME`. Raises UsageError."""
    pairs = dict(each.partition("=")[::2] for each in annotations)
    if "" in pairs:
        raise UsageError(
            "invalid Annotations: the empty string is not permitted as an annotation key"
        )
    return pairs
