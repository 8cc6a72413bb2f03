"""The build context that the argument and -f of `build` name."""

from __future__ import annotations

import os

from rootless.cli.context import absolute
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.files.context import ContextRequest


def context_request(place: str, file: str | None) -> ContextRequest:
    """The context that PATH and -f name: a directory, or on standard input an archive or a Dockerfile alone."""
    from rootless.build.files.archives import looks_like_archive
    from rootless.build.files.context import ContextRequest
    from rootless.build.files.git import git_source
    from rootless.images.formats.url import is_url

    if place == "-":
        if file == "-":
            raise UsageError(
                "invalid argument: can't use stdin for both build context and dockerfile"
            )
        head = _head(512)
        if looks_like_archive(head):
            return ContextRequest(archive=0, head=head, dockerfile=file or "")
        text = (head + _rest()).decode(errors="surrogateescape")
        return ContextRequest(text=text)
    if is_url(place) or git_source(place) is not None:
        return ContextRequest(url=place, dockerfile=file or "")
    directory = absolute(place)
    if not os.path.lexists(directory):
        raise UsageError(f'unable to prepare context: path "{place}" not found')
    if not os.path.isdir(directory):
        raise UsageError(f"unable to prepare context: path {place!r} is not a directory")
    if file == "-":
        text = _rest().decode(errors="surrogateescape")
        return ContextRequest(directory=directory, text=text)
    return ContextRequest(directory=directory, dockerfile=absolute(file) if file else "")


def _head(size: int) -> bytes:
    """The first bytes of standard input, no byte more."""
    data = b""
    while len(data) < size and (piece := os.read(0, size - len(data))):
        data += piece
    return data


def _rest() -> bytes:
    """Standard input up to its end."""
    pieces = []
    while piece := os.read(0, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)
