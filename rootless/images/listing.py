"""images: one row per name, newest first."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rootless.errors import UsageError
from rootless.filters import ImageFilters, age_key, is_older
from rootless.oci.reference import Reference, parse_reference
from rootless.store.image import Image, all_images, resolve
from rootless.store.layers import image_size
from rootless.store.layout import Store

NONE = "<none>"


class ListedImage(NamedTuple):
    """A row: the image under one of its names, or under none (`repository` and `tag` are
    `<none>`)."""

    repository: str
    tag: str
    digest: str
    id: str
    created: str
    """RFC 3339, empty if the image does not say."""
    size: int
    """Bytes of all layers, uncompressed."""
    image: Image


def list_images(
    store: Store, name: str | None = None, filters: ImageFilters | None = None
) -> list[ListedImage]:
    """Every image, or those of a repository, name or pattern, that pass the filters.

    Raises NotFoundError for the image of before and since.
    """
    filters = filters or ImageFilters()
    tests = _tests(store, filters)
    rows = []
    for image in all_images(store):
        if all(test(image) for test in tests):
            rows += _rows(store, image, name, filters.references)
    return sorted(
        rows, key=lambda row: (age_key(row.created), row.repository, row.tag), reverse=True
    )


def _rows(
    store: Store, image: Image, name: str | None, patterns: Sequence[str]
) -> list[ListedImage]:
    def row(repository: str, tag: str) -> ListedImage:
        digest = next((text.partition("@")[2] for text in image.repo_digests), NONE)
        return ListedImage(
            repository, tag, digest, image.id, image.created, image_size(store, image), image
        )

    if not image.tags:
        return [] if name is not None or patterns else [row(NONE, NONE)]
    wanted = None if name is None else _wanted(name)
    return [
        row(tag.familiar_name, tag.tag or NONE)
        for tag in image.tags
        if (wanted is None or wanted(tag))
        and (not patterns or any(_matches(tag, pattern) for pattern in patterns))
    ]


def _wanted(name: str) -> Callable[[Reference], bool]:
    """What an argument means: a repository or name however it is spelled, or a pattern. No image has what
    is neither, as with docker and podman.
    """
    if any(letter in name for letter in "*?["):
        return lambda tag: _matches(tag, name)
    try:
        reference = parse_reference(name)
    except UsageError:
        return lambda _: False
    return lambda tag: tag.name == reference.name and reference.tag in (None, tag.tag)


def _matches(tag: Reference, pattern: str) -> bool:
    """Docker matches the familiar name with and without the tag (path.Match: `*` stays within a
    component, `[^a]` is any but)."""
    globs = pattern.replace("[^", "[!").split("/")
    return any(
        len(text.split("/")) == len(globs)
        and all(
            fnmatch.fnmatchcase(part, glob)
            for part, glob in zip(text.split("/"), globs, strict=True)
        )
        for text in (tag.familiar, tag.familiar_name)
    )


def _tests(store: Store, filters: ImageFilters) -> list[Callable[[Image], bool]]:
    """A test for each field that is set, except `references`."""
    tests: list[Callable[[Image], bool]] = []
    if filters.dangling is not None:
        tests.append(lambda image: (not image.tags) == filters.dangling)
    if filters.labels:
        tests.append(
            lambda image: all(each.matches(image.config.get("Labels")) for each in filters.labels)
        )
    if filters.until is not None:
        until = filters.until
        tests.append(lambda image: is_older(image.created, until))
    if filters.before:
        earliest = min(age_key(resolve(store, name).created) for name in filters.before)
        tests.append(lambda image: age_key(image.created) < earliest)
    if filters.since:
        latest = max(age_key(resolve(store, name).created) for name in filters.since)
        tests.append(lambda image: age_key(image.created) > latest)
    return tests
