"""IMAGE of `hpc`: a file, a directory, or a name with or without a scheme. Pure."""

from __future__ import annotations

from rootless.errors import UsageError
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_FILES = (".sif", ".sqfs", ".squashfs", ".sqsh", ".simg", ".img")
_ARCHIVES = ("oci", "oci-archive", "docker-archive")
_REFUSED = {
    "library": "images of the Sylabs library need its own client: apptainer pull makes a file of one",
    "shub": "Singularity Hub has been closed",
    "oras": "a SIF file in a registry needs its own client: apptainer pull or oras pull makes a file of it",
    "docker-daemon": "save the image with docker save, and use docker-archive:FILE",
    "instance": "use rootless exec for a container that runs",
}


class Source(NamedTuple):
    """One of the three: `path` of a directory or image file, `name` of an image in the store or a registry, `archive` to
    be loaded first."""

    path: str = ""
    name: str = ""
    archive: str = ""


def parse_source(text: str, exists: Callable[[str], bool]) -> Source:
    """A path that exists, or looks like one, is a path; everything else is the name of an image. Raises UsageError."""
    scheme, separator, rest = text.partition(":")
    if separator and scheme in _REFUSED and (rest.startswith("//") or scheme == "docker-daemon"):
        raise UsageError(f"{text}: this kind of image is not supported", hint=_REFUSED[scheme])
    if separator and scheme == "docker" and rest.startswith("//"):
        return Source(name=rest.removeprefix("//"))
    if separator and scheme in _ARCHIVES:
        return Source(archive=rest.removeprefix("//"))
    text = text.removeprefix("file://")
    if text.startswith((".", "/")) or text.endswith(_FILES) or exists(text):
        return Source(path=text)
    return Source(name=text)
