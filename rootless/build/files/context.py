"""The build context and the Dockerfile: a directory, an archive on a descriptor, or a Dockerfile alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from rootless.build.errors import BuildError
from rootless.build.files.archives import archive_source, fetch, looks_like_archive, open_archive
from rootless.build.files.git import clone, git_source
from rootless.build.files.ignoring import IgnoreFilter
from rootless.build.files.selection import resolved_path
from rootless.build.files.sources import FilteredSource, HostSource, Source
from rootless.dockerfile.ignore import IgnorePatterns, read_ignore_file
from rootless.errors import UsageError
from unionfs.light_types import NamedTuple

_MOST_TEXT = 16 << 20
"""Bytes of a Dockerfile or .dockerignore; a larger one is refused."""
_HEADER = 512


class ContextRequest(NamedTuple):
    """The location of a build's files.

    `directory` is a path of the host; `archive` is a descriptor of a tar archive in any compression, and `head`
    the bytes that were read of it already; without either the context is empty. `dockerfile` is the path of the
    Dockerfile on the host, or in the archive; `text` is its text, if the caller has it.
    """

    directory: str | None = None
    archive: int | None = None
    head: bytes = b""
    dockerfile: str = ""
    text: str | None = None
    url: str = ""
    """A repository, or an archive or a Dockerfile behind an http or https URL."""


class BuildContext(NamedTuple):
    """`name` is the Dockerfile's name in messages. `source` opens the files at the first use."""

    text: str
    name: str
    source: Callable[[], Source]
    patterns: IgnorePatterns | None = None
    """Of the .dockerignore."""
    place: str = ""
    """The path of the Dockerfile on the host, where it has one."""


def open_context(request: ContextRequest, new_directory: Callable[[str], Path]) -> BuildContext:
    """Read the Dockerfile of a context. Raises BuildError."""
    if request.url:
        return _remote_context(request, new_directory)
    if request.archive is not None:
        return _archive_context(request, new_directory)
    directory = request.directory
    if directory is None:
        text = request.text or ""
        return BuildContext(text, "Dockerfile", lambda: HostSource(str(new_directory("empty"))))
    path = request.dockerfile or _dockerfile_in(directory)
    name = os.path.basename(path) if request.text is None else "Dockerfile"
    text = _read(path, name) if request.text is None else request.text
    top = HostSource(directory)
    patterns = _ignore_patterns(
        lambda name: (
            _read_if_there(f"{path}.dockerignore") if name else _text_of(top, b".dockerignore")
        )
    )
    return BuildContext(text, name, lambda: _filtered(top, patterns), patterns, path)


def _dockerfile_in(directory: str) -> str:
    """The Dockerfile or, where there is none, podman's Containerfile."""
    dockerfile, containerfile = f"{directory}/Dockerfile", f"{directory}/Containerfile"
    is_podmans = os.path.exists(containerfile) and not os.path.lexists(dockerfile)
    return containerfile if is_podmans else dockerfile


def _remote_context(request: ContextRequest, new_directory: Callable[[str], Path]) -> BuildContext:
    directory = new_directory("remote")
    repository = git_source(request.url)
    if repository is not None:
        top = clone(repository, directory, keep_git=False)
        path = os.path.normpath(f"/{request.dockerfile or 'Dockerfile'}").strip("/")
        local = request._replace(url="", directory=str(top), dockerfile=f"{top}/{path}")
        return open_context(local, new_directory)
    name = fetch(request.url, directory, "").name
    with open(directory / name, "rb") as file:
        head = file.read(_HEADER)
        if looks_like_archive(head):
            archive = request._replace(url="", archive=file.fileno(), head=head)
            os.lseek(file.fileno(), len(head), os.SEEK_SET)
            return _archive_context(archive, new_directory)
        text = _decoded(head + file.read(_MOST_TEXT), name)
    return open_context(ContextRequest(text=text), new_directory)


def _archive_context(request: ContextRequest, new_directory: Callable[[str], Path]) -> BuildContext:
    descriptor, waiting = request.archive, [request.head] if request.head else []
    assert descriptor is not None  # the caller has looked

    def read(size: int) -> bytes:
        return waiting.pop() if waiting else os.read(descriptor, size)

    directory = new_directory("context") / "archive"
    source = open_archive(read, directory, "the build context", keeps_owners=True)
    path = os.path.normpath(f"/{request.dockerfile or 'Dockerfile'}").strip("/")
    name = os.path.basename(path)
    text = request.text if request.text is not None else _text_of(source, os.fsencode(path))
    if text is None:
        raise _no_dockerfile(name, "no such file or directory")
    patterns = _ignore_patterns(
        lambda name: _text_of(
            source, os.fsencode(f"{path}.dockerignore") if name else b".dockerignore"
        )
    )
    source.close()
    # Opened anew in each process that reads it: its index is a connection.
    return BuildContext(
        text,
        name,
        lambda: _filtered(archive_source(directory, keeps_owners=True), patterns),
        patterns,
    )


def _filtered(source: Source, patterns: IgnorePatterns | None) -> Source:
    return source if patterns is None else FilteredSource(source, IgnoreFilter(patterns))


def _ignore_patterns(read: Callable[[bool], str | None]) -> IgnorePatterns | None:
    """Of the file beside the Dockerfile that has its name, else of the context's."""
    text = read(True)
    if text is None:
        text = read(False)
    patterns = read_ignore_file(text) if text is not None else ()
    try:
        return IgnorePatterns(patterns) if patterns else None
    except UsageError as error:
        raise BuildError(error.message) from error


def _text_of(source: Source, path: bytes) -> str | None:
    resolved = resolved_path(source, path)
    entry = None if resolved is None else source.entry(resolved)
    if resolved is None or entry is None or entry.attributes.mode & 0o170000 != 0o100000:
        return None
    size = min(entry.attributes.size, _MOST_TEXT + 1)
    return _decoded(b"".join(source.open(resolved, size)), os.fsdecode(path))


def _read(path: str, name: str) -> str:
    try:
        with open(path, "rb") as file:
            return _decoded(file.read(_MOST_TEXT + 1), name)
    except OSError as error:
        raise _no_dockerfile(name, (error.strerror or "").lower()) from error


def _read_if_there(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return _decoded(file.read(_MOST_TEXT + 1), os.path.basename(path))
    except OSError:
        return None


def _decoded(data: bytes, name: str) -> str:
    """Raises BuildError for a file of which only a part was read."""
    if len(data) > _MOST_TEXT:
        raise BuildError(f"{name} is larger than {_MOST_TEXT >> 20} MiB")
    return data.decode(errors="surrogateescape")


def _no_dockerfile(name: str, reason: str) -> BuildError:
    return BuildError(f"failed to read dockerfile: open {name}: {reason}")
