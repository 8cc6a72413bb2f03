"""The names of images: the descriptors of index.json as a table. Pure.

A tagged image is a descriptor with the annotation org.opencontainers.image.ref.name, which other
OCI tools read too; an image of two tags is two descriptors. An image without a tag is a descriptor
without that annotation. Other tools may have written index.json: names are taken as a user would
have typed them, and what is no name at all leaves its image reachable by id.
"""

from __future__ import annotations

from rootless.errors import RootlessError
from rootless.oci.manifest import Descriptor
from rootless.oci.reference import Reference, parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

REF_NAME = "org.opencontainers.image.ref.name"
CONFIG_DIGEST = "io.rootless.image.config"
"""The digest of the image's config, so that images are listed without reading every manifest. May
be missing."""
REPO_DIGEST = "io.rootless.image.repo-digest"
"""NAME@DIGEST by which a registry knows the image. May be missing."""

Table = tuple[Descriptor, ...]


def name_of(entry: Descriptor) -> Reference | None:
    """The tag of an entry, or None if it has none that is a reference."""
    text = entry.annotations.get(REF_NAME)
    if text is None:
        return None
    try:
        reference = parse_reference(text).with_default_tag()
    except RootlessError:
        return None
    return reference._replace(digest=None) if reference.tag is not None else None


def tagged(table: Table, image: Descriptor, references: Iterable[Reference]) -> Table:
    """The table after `image` has got these tags, which other images lose; without any
    it is added untagged.

    An image that loses its last tag stays, untagged, as Docker's dangling images do.
    """
    plain = {key: value for key, value in image.annotations.items() if key != REF_NAME}
    bare = image._replace(annotations=plain)
    wanted = list(references)
    for reference in wanted:
        table = untagged(table, reference)
        table = (*table, bare._replace(annotations={**plain, REF_NAME: str(reference)}))
    if wanted:
        return tuple(e for e in table if e.digest != image.digest or REF_NAME in e.annotations)
    known = image.annotations.get(REPO_DIGEST)
    if any(
        entry.digest == image.digest and known in (None, entry.annotations.get(REPO_DIGEST))
        for entry in table
    ):
        return table
    return (*table, bare)


def is_alike(table: Table, other: Table) -> bool:
    """Whether both have the same entries, in any order; fields that this version does not know do not count."""
    known = {(each.digest, each.annotations.get(REF_NAME)): each for each in other}
    return len(table) == len(other) and all(
        (found := known.get((each.digest, each.annotations.get(REF_NAME)))) is not None
        and (found is each or found._replace(document={}) == each._replace(document={}))
        for each in table
    )


def untagged(table: Table, reference: Reference) -> Table:
    """The table without this tag; its image stays."""
    holders = [entry for entry in table if name_of(entry) == reference]
    rest = tuple(entry for entry in table if name_of(entry) != reference)
    for holder in holders:
        if not any(entry.digest == holder.digest for entry in rest):
            plain = {key: value for key, value in holder.annotations.items() if key != REF_NAME}
            rest = (*rest, holder._replace(annotations=plain))
    return rest


def same_image(entry: Descriptor, other: Descriptor) -> bool:
    """Whether two entries are of one image: of one manifest, or of one config, which is what an id is
    the digest of (the same layers may be compressed in two ways)."""
    config = entry.annotations.get(CONFIG_DIGEST)
    return entry.digest == other.digest or (
        config is not None and config == other.annotations.get(CONFIG_DIGEST)
    )


def find_by_name(table: Table, reference: Reference) -> Descriptor | None:
    """The entry that a reference means: by tag, or, if it has a digest, by that and the
    repository."""
    if reference.digest is None:
        wanted = reference.with_default_tag()
        return next((entry for entry in table if name_of(entry) == wanted), None)
    for entry in table:
        name = name_of(entry)
        by_digest = f"{reference.name}@{reference.digest}"
        if entry.annotations.get(REPO_DIGEST) == by_digest or (
            entry.digest == reference.digest and name is not None and name.name == reference.name
        ):
            return entry
    return None


def tags_of(table: Table, image: Descriptor) -> tuple[Reference, ...]:
    """Every tag of an image, in order of the table."""
    return tuple(
        name for entry in table if same_image(entry, image) and (name := name_of(entry)) is not None
    )


def repo_digests_of(table: Table, image: Descriptor) -> tuple[str, ...]:
    """Every NAME@DIGEST under which a registry knows an image."""
    found = (entry.annotations.get(REPO_DIGEST) for entry in table if same_image(entry, image))
    return tuple(dict.fromkeys(text for text in found if text))
