"""IMAGE as an argument: a name, an id, or a form of another tool. Pure."""

from __future__ import annotations

from rootless.errors import UsageError

_REGISTRY = "docker://"


def image_name(text: str) -> str:
    """The name of an image: without `docker://`, as skopeo and apptainer write it.

    Raises UsageError for a path, which is not a name.
    """
    if text.startswith(("/", "./", "../")):
        raise UsageError(
            f"{text!r} is a path, not the name of an image",
            hint=f"to run a directory, a squashfs or a SIF file, use --rootfs {text}; to make an image "
            "of an archive, use rootless load or rootless import",
        )
    return text.removeprefix(_REGISTRY)
