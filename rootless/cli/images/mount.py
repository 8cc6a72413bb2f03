"""`image mount` and `image unmount`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed
from rootless.cli.output import for_each


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


IMAGE_MOUNT = Command(
    "mount",
    "Mount images read-only, or list mounted images",
    "[IMAGE...]",
    (),
    mount,
    operand="image",
    description="""Mount the files of images read-only, and print the directory of each. Without an
argument, list the images that are mounted.""",
)
IMAGE_UNMOUNT = Command(
    "unmount",
    "Unmount one or more images",
    "IMAGE [IMAGE...]",
    (),
    unmount,
    least=1,
    operand="image",
)
