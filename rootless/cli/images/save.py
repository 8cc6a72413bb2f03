"""`save`."""

from __future__ import annotations

import sys

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed, Text
from rootless.cli.progress import counter_on
from rootless.cli.shared_options import OUTPUT, PLATFORM, output_of, platform_of
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.images.save import Format

_FORMATS = ("docker-archive", "oci-archive", "oci-dir", "docker-dir")
_FORMAT = Text(
    ("format",),
    "Format of the archive: docker-archive (default), oci-archive, oci-dir or docker-dir",
    "FORMAT",
    choices=_FORMATS,
)

_QUIET = Flag(("quiet", "q"), "Suppress the progress")


def save(parsed: Parsed, settings: Settings) -> int:
    """Save images to an archive, all in one."""
    form = _format_of(parsed)
    is_file = form is None or form.value.endswith("archive")
    output = output_of(parsed, is_file=is_file)
    platform = platform_of(parsed)
    with counter_on("Saving", sys.stderr, quiet=parsed[_QUIET]) as moved:
        engine_of(settings).save(
            parsed.arguments, output, form=form, platform=platform, moved=moved
        )
    return 0


def _format_of(parsed: Parsed) -> Format | None:
    from rootless.images.save import Format

    text = parsed[_FORMAT]
    try:
        return None if text is None else Format(text)
    except ValueError:
        raise UsageError(
            f"--format {text!r} is not supported", hint=f"use one of {', '.join(_FORMATS)}"
        ) from None


SAVE = Command(
    "save",
    "Save one or more images to an archive (streamed to STDOUT by default)",
    "IMAGE [IMAGE...]",
    (OUTPUT, _FORMAT, PLATFORM, _QUIET),
    save,
    least=1,
    operand="image",
)
