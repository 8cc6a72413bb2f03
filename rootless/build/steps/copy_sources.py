"""The sources of COPY and ADD: files of the context, of stages and images, URLs, repositories and here-documents."""

from __future__ import annotations

import itertools
import os
import posixpath
import re
import stat

from rootless.build.errors import BuildError
from rootless.build.files.archives import fetch, unpacked
from rootless.build.files.copying import CopyItem
from rootless.build.files.git import GitSource, clone, git_source
from rootless.build.files.selection import select
from rootless.build.files.sources import HostSource, MemorySource, Source
from rootless.build.provenance import Material
from rootless.build.state import BUILT
from rootless.build.workspace import Workspace
from rootless.dockerfile.ignore import IgnorePatterns
from rootless.dockerfile.instructions import Add, Copy
from rootless.images.formats.url import is_url

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class CopySources:
    """Finds and fetches the sources of one stage's instructions. `source_of` gives what --from names."""

    def __init__(self, workspace: Workspace, source_of: Callable[[str], Source]) -> None:
        self._workspace = workspace
        self._source_of = source_of
        self._count = itertools.count(1)
        self._fetched_sources: list[Source] = []

    def items(self, instruction: Copy | Add) -> list[CopyItem]:
        """Everything that COPY or ADD names, in order."""
        from_stage = instruction.from_stage if isinstance(instruction, Copy) else ""
        parents = isinstance(instruction, Copy) and instruction.parents
        items: list[CopyItem] = []
        if isinstance(instruction, Add) and instruction.checksum:
            _check_checksum(instruction)
        for word in instruction.sources:
            if isinstance(instruction, Add) and (repository := git_source(word)) is not None:
                items.append(self._cloned(repository, instruction))
                continue
            if isinstance(instruction, Add) and is_url(word):
                items.append(self._fetched(word, instruction))
                continue
            items += select(self._source_of(from_stage), word, parents=parents)
        if instruction.exclude:
            patterns = IgnorePatterns(instruction.exclude)
            items = [
                each._replace(excluded=patterns)
                for each in items
                if not patterns.ignores(os.fsdecode(each.name)) or _is_directory(each)
            ]
        if instruction.heredocs:
            files = {os.fsencode(each.name): each for each in instruction.heredocs}
            texts = {
                name: each.content.encode(errors="surrogateescape") for name, each in files.items()
            }
            source = MemorySource(texts, self._workspace.now_ns())
            items += [CopyItem(source, name, name) for name in files]
        return items

    def _cloned(self, repository: GitSource, instruction: Add) -> CopyItem:
        """The files of a repository."""
        directory = self._workspace.new_directory(f"cloned-{next(self._count)}")
        top = clone(
            repository,
            directory,
            keep_git=bool(instruction.keep_git_dir),
            checksum=instruction.checksum,
        )
        source = HostSource(str(top))
        self._fetched_sources.append(source)
        return CopyItem(source, b"", b"")

    def _fetched(self, url: str, instruction: Add) -> CopyItem:
        """The file of a URL."""
        directory = self._workspace.new_directory(f"fetched-{next(self._count)}")
        fetched = fetch(url, directory, instruction.checksum)
        self._workspace.add_material(Material(url, "sha256", fetched.digest))
        name = os.fsencode(fetched.name)
        source = HostSource(str(directory))
        self._fetched_sources.append(source)
        return CopyItem(source, name, name)

    def with_archives(self, items: list[CopyItem], instruction: Copy | Add) -> list[CopyItem]:
        """The items of ADD, with the files of an archive in its place: of a local one unless --unpack=false
        says no, of one that was fetched if --unpack asks for it."""
        if not isinstance(instruction, Add) or instruction.unpack is False:
            return items
        return [
            self._unpacked(each)
            if instruction.unpack or each.source not in self._fetched_sources
            else each
            for each in items
        ]

    def _unpacked(self, item: CopyItem) -> CopyItem:
        """The files of an archive in its place."""
        entry = item.source.entry(item.path)
        if entry is None or not stat.S_ISREG(entry.attributes.mode):
            return item
        directory = self._workspace.scratch / f"unpacked-{next(self._count)}"
        source = unpacked(item.source, entry, directory)
        return item if source is None else CopyItem(source, b"", b"", is_archive=True)


def destination_of(instruction: Copy | Add, directory: str, *, several: bool) -> str:
    """Absolute, with a slash at the end where it has to be a directory."""
    written = instruction.destination
    path = "/" + posixpath.normpath(posixpath.join("/", directory, written)).lstrip("/")
    parents = isinstance(instruction, Copy) and instruction.parents
    if written.endswith(("/", "/.")) or written == "." or several or parents:
        return path.rstrip("/") + "/"
    return path


def copy_text(instruction: Copy | Add) -> str:
    """COPY or ADD as the history has it."""
    words = [type(instruction).__name__.upper()]
    if isinstance(instruction, Copy) and instruction.parents:
        words.append("--parents")
    if instruction.chown:
        words.append(f"--chown={instruction.chown}")
    if instruction.chmod:
        words.append(f"--chmod={instruction.chmod}")
    words += [*instruction.sources, *(f"<<{each.name}" for each in instruction.heredocs)]
    return " ".join([*words, instruction.destination]) + BUILT


def _check_checksum(instruction: Add) -> None:
    """Raises BuildError, BuildKit's, for a --checksum that nothing could have."""
    if len(instruction.sources) != 1:
        raise BuildError("checksum can't be specified for multiple sources")
    [source] = instruction.sources
    if git_source(source) is not None:
        return
    if not is_url(source):
        raise BuildError("checksum requires HTTP(S) or Git sources")
    if _DIGEST.fullmatch(instruction.checksum) is None:
        raise BuildError("invalid checksum digest format")


def _is_directory(item: CopyItem) -> bool:
    entry = item.source.entry(item.path)
    return entry is not None and stat.S_ISDIR(entry.attributes.mode)
