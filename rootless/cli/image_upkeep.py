"""`image diff`, `mount`, `unmount`, `prune`, `verify` and `untag`."""

from __future__ import annotations

import os
import sys
from typing import Any

from rootless.cli.context import Settings, engine_of
from rootless.cli.formats import print_list
from rootless.cli.grammar import Parsed
from rootless.cli.image_lists import pair_of
from rootless.cli.output import confirmed, for_each, human_size, pruned_images


def diff(parsed: Parsed, settings: Settings) -> int:
    """List what differs in two images."""
    form: Any = parsed.values["format"]
    old, new = parsed.arguments
    found = engine_of(settings).compare_images(old, new)
    if form:
        titles = {"Kind": "KIND", "Path": "PATH"}
        rows = [{"Kind": kind, "Path": "/" + os.fsdecode(path)} for kind, path in found]
        print_list(form, "*formatter.diffContext", titles, list(titles), rows)
        return 0
    for kind, path in found:
        sys.stdout.buffer.write(b"%b /%b\n" % (kind.encode(), path))
    sys.stdout.buffer.flush()
    return 0


def mount(parsed: Parsed, settings: Settings) -> int:
    """Mount images and print where; without an argument, list what is mounted."""
    engine = engine_of(settings)
    if not parsed.arguments:
        for image, mountpoint in engine.mounted_images():
            print(f"{image} {mountpoint}")
        return 0

    def show(name: str) -> None:
        print(engine.mount_image(name))

    return for_each(parsed.arguments, show)


def unmount(parsed: Parsed, settings: Settings) -> int:
    """Unmount images."""
    engine = engine_of(settings)

    def end(name: str) -> None:
        engine.unmount_image(name)
        print(name)

    return for_each(parsed.arguments, end)


def prune(parsed: Parsed, settings: Settings) -> int:
    """Remove images that nothing needs."""
    values: Any = parsed.values
    everything = bool(values["all"])
    warning = f"WARNING! This will remove {pruned_images(everything=everything)}."
    if not values["force"] and not confirmed(warning):
        return 0
    filters = [pair_of(text) for text in values["filter"]]
    done = engine_of(settings).prune_images(everything=everything, filters=filters)
    if done.removals:
        print("Deleted Images:", *map(str, done.removals), "", sep="\n")
    print(f"Total reclaimed space: {human_size(done.reclaimed)}")
    return 0


def verify(parsed: Parsed, settings: Settings) -> int:
    """Hash images; what is wrong is said, and the status is 1."""
    engine = engine_of(settings)
    names = parsed.arguments or tuple(dict.fromkeys(row.id for row in engine.images()))
    status = 0
    for name in names:
        findings = engine.verify_image(name)
        for finding in findings:
            print(f"{name}: {finding}", file=sys.stderr)
        if findings:
            status = 1
        else:
            print(f"{name}: OK")
    return status


def untag(parsed: Parsed, settings: Settings) -> int:
    """Take names from an image."""
    name, *targets = parsed.arguments
    engine_of(settings).untag(name, targets)
    return 0
