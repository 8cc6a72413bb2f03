"""`image unpack`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed
from rootless.cli.output import for_each


def unpack(parsed: Parsed, settings: Settings) -> int:
    """Unpack images and print their ids' directories."""
    engine = engine_of(settings)

    def show(name: str) -> None:
        print(engine.unpack_image(name))

    return for_each(parsed.arguments, show)


IMAGE_UNPACK = Command(
    "unpack",
    "Unpack images for containers on kernel overlayfs",
    "IMAGE [IMAGE...]",
    (),
    unpack,
    least=1,
    operand="image",
    description="""Write the files of images to directories of the store, and print these. Containers with
--storage-driver overlay and the default id maps then use them as lower layers, so that reading a file for the
first time asks no file server. rootless image prune removes those that no container uses.""",
)
