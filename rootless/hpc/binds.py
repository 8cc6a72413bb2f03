"""-B of `hpc`: SRC[:DST[:OPTIONS]], several separated by commas. Pure."""

from __future__ import annotations

import posixpath

from rootless.errors import UsageError
from rootless.spec.options import Bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ACCESS = ("ro", "rw")


def parse_binds(text: str, getcwd: Callable[[], str]) -> tuple[Bind, ...]:
    """The binds of one value of -B or of APPTAINER_BIND. A comma or colon of a path is written with a backslash.

    Raises UsageError.
    """
    found: list[list[str]] = []
    for part in _split(text, ","):
        if part in _ACCESS and found and len(found[-1]) == 3:
            found[-1][2] += f",{part}"
        elif part:
            found.append(_split(part, ":"))
    return tuple(_bind(fields, text, getcwd) for fields in found)


def _bind(fields: list[str], text: str, getcwd: Callable[[], str]) -> Bind:
    source, *rest = fields
    if len(rest) > 2 or not source:
        raise UsageError(f"invalid bind {text!r}", hint="use SRC[:DST[:ro|rw]]")
    options = rest[1].split(",") if len(rest) == 2 else []
    for option in options:
        if option not in _ACCESS:
            raise UsageError(f"invalid option {option!r} of the bind {text!r}", hint="use ro or rw")
    source = posixpath.normpath(source if source.startswith("/") else f"{getcwd()}/{source}")
    target = rest[0] if rest else source
    if not target.startswith("/"):
        raise UsageError(f"the target of the bind {text!r} is not an absolute path")
    return Bind(source, posixpath.normpath(target), read_only="ro" in options)


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators that have no backslash before them; backslashes before other separators stay."""
    parts, part = [], ""
    rest = iter(text)
    for character in rest:
        if character == "\\":
            escaped = next(rest, "")
            part += escaped if escaped == separator else f"\\{escaped}"
        elif character == separator:
            parts.append(part)
            part = ""
        else:
            part += character
    return [*parts, part]
