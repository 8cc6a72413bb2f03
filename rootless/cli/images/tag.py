"""`tag` and `untag`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed


def tag(parsed: Parsed, settings: Settings) -> int:
    """Give an image another name."""
    source, target = parsed.arguments
    engine_of(settings).tag(source, target)
    return 0


def untag(parsed: Parsed, settings: Settings) -> int:
    """Remove names of an image."""
    name, *targets = parsed.arguments
    engine_of(settings).untag(name, targets)
    return 0


TAG = Command(
    "tag",
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    (),
    tag,
    least=2,
    most=2,
    operand="image",
)
UNTAG = Command(
    "untag",
    "Remove one or more names of an image",
    "IMAGE [NAME[:TAG]...]",
    (),
    untag,
    least=1,
    operand="image",
    description="""Remove names of an image, all of them if none is given. The image stays and can
be used by its ID.""",
)
