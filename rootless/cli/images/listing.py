"""`images`: what is in the store."""

from __future__ import annotations

import time

from rootless.cli.context import Settings, engine_of
from rootless.cli.flags.filters import image_filters
from rootless.cli.formats import print_list
from rootless.cli.grammar import Command, Flag, Parsed, Texts
from rootless.cli.output import human_size, local_time, short_id, since
from rootless.cli.shared_options import LIST_FORMAT, NO_HEADING, NO_TRUNC, QUIET_IDS, filter_pairs

_IMAGE_TITLES = {
    "Containers": "CONTAINERS",
    "CreatedAt": "CREATED AT",
    "CreatedSince": "CREATED",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "SharedSize": "SHARED SIZE",
    "Size": "SIZE",
    "Tag": "TAG",
    "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "VIRTUAL SIZE",
}

_ALL = Flag(("all", "a"), "Show all images")
_DIGESTS = Flag(("digests",), "Show digests")
_FILTER = Texts(
    ("filter", "f"),
    "Filter output based on conditions provided: reference, label, before, since, until, dangling",
    "FILTER",
)


def images(parsed: Parsed, settings: Settings) -> int:
    """List the images of the store."""
    name = parsed.arguments[0] if parsed.arguments else None
    engine = engine_of(settings)
    rows = engine.images(name, image_filters(filter_pairs(parsed, _FILTER), time.time()))
    full = parsed[NO_TRUNC]
    if parsed[QUIET_IDS]:
        for shown in dict.fromkeys(row.id if full else short_id(row.id) for row in rows):
            print(shown)
        return 0
    columns = ["Repository", "Tag", *(["Digest"] if parsed[_DIGESTS] else [])]
    print_list(
        parsed[LIST_FORMAT],
        "*formatter.imageContext",
        _IMAGE_TITLES,
        [*columns, "ID", "CreatedSince", "Size"],
        [
            {
                "Containers": "N/A",
                "CreatedAt": local_time(row.created),
                "CreatedSince": since(row.created),
                "Digest": row.digest,
                "ID": row.id if full else short_id(row.id),
                "Repository": row.repository,
                "SharedSize": "N/A",
                "Size": human_size(row.size),
                "Tag": row.tag,
                "UniqueSize": "N/A",
                "VirtualSize": human_size(row.size),
            }
            for row in rows
        ],
        heading=not parsed[NO_HEADING],
    )
    return 0


IMAGES = Command(
    "images",
    "List images",
    "[REPOSITORY[:TAG]]",
    (_ALL, _DIGESTS, _FILTER, LIST_FORMAT, NO_HEADING, NO_TRUNC, QUIET_IDS),
    images,
    most=1,
    operand="image",
    description="""List images. SIZE is that of all layers, uncompressed, whether or not other images
share them; rootless system df -v shows what they take on disk.""",
)
