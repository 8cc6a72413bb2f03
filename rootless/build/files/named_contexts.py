"""The values of --build-context."""

from __future__ import annotations

import os
from pathlib import Path

from rootless.build.errors import BuildError
from rootless.build.files.git import git_source
from rootless.errors import RootlessError
from rootless.images.formats.url import is_url
from unionfs.light_types import Enum, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.layout import Store

_IMAGE, _LAYOUT = "docker-image://", "oci-layout://"


class ContextKind(Enum):
    """The kinds of named contexts."""

    DIRECTORY = "directory"
    IMAGE = "image"
    URL = "url"


class NamedContext(NamedTuple):
    """`value` is a directory, the name of an image, or a URL; `layout` the directory of an OCI layout that the
    image is in, whose tag or digest `value` is then."""

    kind: ContextKind
    value: str
    layout: str = ""


def named_context(text: str) -> NamedContext:
    """Raises BuildError for a directory that is not there."""
    if text.startswith(_IMAGE):
        return NamedContext(ContextKind.IMAGE, text.removeprefix(_IMAGE))
    if text.startswith(_LAYOUT):
        path = text.removeprefix(_LAYOUT)
        layout, mark, digest = path.partition("@")
        if not mark:
            layout, _, digest = path.rpartition(":")
            if not layout or "/" in digest:
                layout, digest = path, ""
        return NamedContext(ContextKind.IMAGE, digest, os.path.abspath(layout))
    if is_url(text) or git_source(text) is not None:
        return NamedContext(ContextKind.URL, text)
    if not os.path.isdir(text):
        reason = "not a directory" if os.path.exists(text) else "no such file or directory"
        raise BuildError(f"failed to get build context: stat {text}: {reason}")
    return NamedContext(ContextKind.DIRECTORY, text)


def load_layout(store: Store, context: NamedContext) -> str:
    """Bring the image of an OCI layout into the store; its id. Raises BuildError."""
    from rootless.images.load import load

    try:
        images = load(store, Path(context.layout))
    except RootlessError as error:
        raise BuildError(f"oci-layout://{context.layout}: {error.message}") from error
    wanted = [
        image
        for image in images
        if not context.value
        or context.value == image.id
        or any(tag.tag == context.value for tag in image.tags)
    ]
    if len(wanted) == 1 or (wanted and not context.value):
        return wanted[0].id
    if len(images) == 1:
        return images[0].id
    raise BuildError(f"oci-layout://{context.layout} has no image {context.value!r}")
