"""Finds an image in the store: by name, id, prefix of an id, or digest.

This is on the way of every start of a container: two small files are read and checked.
"""

from __future__ import annotations

from rootless.errors import IntegrityError, InvalidDocumentError, NotFoundError, UsageError
from rootless.oci import media_types
from rootless.oci.digest import chain_id, is_digest, is_hex
from rootless.oci.image_config import ImageConfig, read_image_config
from rootless.oci.manifest import Descriptor, Manifest, read_index, read_manifest
from rootless.oci.platform import Platform, choose_platform, host_platform, offer_hint, preference
from rootless.oci.reference import Reference, parse_reference
from rootless.store import names
from rootless.store.layout import Store
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.oci.document import Json
    from rootless.oci.manifest import Index


class Image(NamedTuple):
    """One image of the store."""

    id: str
    """Digest of the config, which is what Docker calls the image id."""
    entry: Descriptor
    """What the index of names has: the manifest, or an index for several platforms."""
    manifest: Descriptor
    tags: tuple[Reference, ...]
    repo_digests: tuple[str, ...]
    image_config: ImageConfig

    @property
    def config(self) -> Json:
        """The `config` object: Cmd, Entrypoint, Env, User, WorkingDir, Labels, ... with their types
        checked."""
        return self.image_config.config

    @property
    def created(self) -> str:
        """When the image was made: RFC 3339 as the config has it, or empty."""
        created = self.image_config.document.get("created")
        return created if isinstance(created, str) else ""

    @property
    def familiar_digests(self) -> list[str]:
        """NAME@DIGEST as Docker shows it."""
        return [parse_reference(text).familiar for text in self.repo_digests]

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """Bottom first."""
        return self.image_config.diff_ids

    @property
    def platform(self) -> Platform:
        return self.image_config.platform

    @property
    def chain_id(self) -> str:
        """Raises ValueError for an image without layers."""
        return chain_id(self.diff_ids)


def resolve(store: Store, name: str, platform: Platform | None = None) -> Image:
    """The image that a user's argument means; names come before beginnings of ids, as in Docker.

    Raises NotFoundError, or UsageError if the beginning of an id fits several images or the word is
    neither name nor id.
    """
    table = store.all_entries()
    reference, malformed = _as_reference(name)
    entry = names.find_by_name(table, reference) if reference is not None else None
    if entry is None:
        entry = _find_by_id(store, table, name)
    if entry is None:
        if malformed is not None:
            raise malformed
        shown = reference.with_default_tag().familiar if reference is not None else name
        raise NotFoundError(f"No such image: {shown}")
    image = _image_of(store, table, entry, platform)
    if platform is not None and preference(platform, image.platform) is None:
        raise NotFoundError(
            f"image {name} was found but does not match the wanted platform: "
            f"wanted {platform}, actual {image.platform}"
        )
    return image


def all_images(store: Store, *, shared: bool = True) -> list[Image]:
    """Every image once, by its id, in order of the index, those of shared stores last if they are wanted.
    What is no image (an artifact, a damaged entry) is left out."""
    images: dict[str, Image] = {}
    for image in all_manifests(store, shared=shared):
        known = images.setdefault(image.id, image)
        tags = tuple(dict.fromkeys((*known.tags, *image.tags)))
        digests = tuple(dict.fromkeys((*known.repo_digests, *image.repo_digests)))
        images[image.id] = known._replace(tags=tags, repo_digests=digests)
    return list(images.values())


def all_manifests(store: Store, *, shared: bool = True) -> list[Image]:
    """Like `all_images`, but an image of several manifests comes once with each."""
    table = store.all_entries() if shared else store.read_index().manifests
    images: dict[str, Image] = {}
    for entry in table:
        if entry.digest not in images:
            try:
                images[entry.digest] = _image_of(store, table, entry, None)
            except (NotFoundError, IntegrityError, InvalidDocumentError):
                continue
    return list(images.values())


def refuse_shared(store: Store, index: Index, image: Image, name: str) -> None:
    """Raises UsageError if an image is not in the index of this store, but only in a shared one."""
    if not any(names.same_image(entry, image.entry) for entry in index.manifests):
        raise UsageError(
            f"image {name} is in a store that is only read ({':'.join(store.shared)})",
            hint="its owner can remove or rename it there",
        )


def manifest_of(store: Store, image: Image) -> Manifest:
    """The manifest of an image, verified."""
    data = store.read_document(image.manifest.digest, "image manifest")
    return read_manifest(data, f"image manifest {image.manifest.digest}", image.manifest.media_type)


def _as_reference(name: str) -> tuple[Reference | None, UsageError | None]:
    try:
        return parse_reference(name), None
    except UsageError as error:
        return None, error if _id_prefix(name) is None else None


def _id_prefix(text: str) -> str | None:
    """The beginning of an image id, with its algorithm; None if `text` cannot be one."""
    digits = text.removeprefix("sha256:")
    return f"sha256:{digits}" if len(digits) <= 64 and is_hex(digits) else None


def _config_digest(store: Store, entry: Descriptor) -> str | None:
    """From the annotation, else from the manifest; None if the entry is no image manifest."""
    if (noted := entry.annotations.get(names.CONFIG_DIGEST)) is not None and is_digest(noted):
        return noted
    if entry.media_type in media_types.INDEXES:
        return None
    try:
        data = store.read_document(entry.digest, "image manifest")
        return read_manifest(data, f"image manifest {entry.digest}", entry.media_type).config.digest
    except (NotFoundError, IntegrityError, InvalidDocumentError):
        return None


def _find_by_id(store: Store, table: names.Table, text: str) -> Descriptor | None:
    prefix = _id_prefix(text)
    if prefix is None:
        return None
    found: dict[str, Descriptor] = {}
    for entry in table:
        if entry.digest == prefix:
            return entry
        config = _config_digest(store, entry)
        if config is not None and config.startswith(prefix):
            found.setdefault(config, entry)
    if len(found) > 1:
        raise UsageError(f"the image id {text} is ambiguous", details={"ids": sorted(found)})
    return next(iter(found.values()), None)


def _image_of(
    store: Store, table: names.Table, entry: Descriptor, platform: Platform | None
) -> Image:
    tags = names.tags_of(table, entry)
    repo_digests = names.repo_digests_of(table, entry)
    manifest = entry
    if entry.media_type in media_types.INDEXES:
        manifest = _choose_manifest(store, entry, platform)
    config = _config_digest(store, manifest)
    if config is None:
        raise InvalidDocumentError(f"{manifest.digest} is not the manifest of an image")
    data = store.read_document(config, "image config")
    return Image(
        config,
        entry,
        manifest,
        tags,
        repo_digests,
        read_image_config(data, f"image config {config}"),
    )


def manifests_of_index(store: Store, entry: Descriptor) -> tuple[Descriptor, ...]:
    """The manifests that an index names. Raises NotFoundError, IntegrityError, InvalidDocumentError."""
    data = store.read_document(entry.digest, "image index")
    return read_index(data, f"image index {entry.digest}", entry.media_type).manifests


def _choose_manifest(store: Store, entry: Descriptor, platform: Platform | None) -> Descriptor:
    """The manifest of an index that suits a platform; if none was asked for, that of this machine, or else the first
    image. Raises NotFoundError."""
    what = f"image index {entry.digest}"
    manifests = manifests_of_index(store, entry)
    offered = [each.platform for each in manifests]
    position = choose_platform(platform or host_platform(), offered)
    if position is None and platform is None:
        images = (i for i, each in enumerate(offered) if each is not None and each.os != "unknown")
        position = next(images, None)
    if position is None:
        raise NotFoundError(
            f"{what} has no image for {platform or host_platform()}", hint=offer_hint(offered)
        )
    return manifests[position]
