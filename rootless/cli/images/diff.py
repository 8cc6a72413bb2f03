"""`image diff`."""

from __future__ import annotations

import os

from rootless.cli.changed_paths import print_changes
from rootless.cli.context import Settings, engine_of
from rootless.cli.formats import print_list
from rootless.cli.grammar import Command, Parsed
from rootless.cli.shared_options import LIST_FORMAT


def diff(parsed: Parsed, settings: Settings) -> int:
    """List what differs in two images."""
    form = parsed[LIST_FORMAT]
    old, new = parsed.arguments
    found = engine_of(settings).compare_images(old, new)
    if form:
        titles = {"Kind": "KIND", "Path": "PATH"}
        rows = [{"Kind": kind, "Path": "/" + os.fsdecode(path)} for kind, path in found]
        print_list(form, "*formatter.diffContext", titles, list(titles), rows)
        return 0
    print_changes(found)
    return 0


IMAGE_DIFF = Command(
    "diff",
    "Inspect differences between the files of two images",
    "IMAGE IMAGE",
    (LIST_FORMAT,),
    diff,
    least=2,
    most=2,
    operand="image",
    description="""List the files that must be added (A), changed (C) or deleted (D) in the first
image to get the second. Times are not compared, and layers that both images share are not read.""",
)
