"""commit: an image made of another one and one more layer, by `commit` and by each step of a build.

The layer comes as the pieces of its archive (unionfs.tar.writer.layer_archive over a container's
upper); nothing of the image below is read or copied. Equal layers and arguments make equal images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rootless.dockerfile.config import apply_changes
from rootless.errors import NotFoundError
from rootless.images.new_image import LoadedImage, new_image
from rootless.oci import media_types
from rootless.oci.document import Json, encode
from rootless.oci.manifest import Descriptor
from rootless.oci.platform import host_platform
from rootless.oci.reference import parse_tag
from rootless.runtime.extensions import DEFAULT_PATH
from rootless.store.counting import Moved
from rootless.store.decompression import Limits
from rootless.store.image import Image, manifest_of
from rootless.store.ingest import Ingest
from rootless.store.layers import layer_files
from rootless.store.layout import Store
from rootless.store.names import CONFIG_DIGEST
from unionfs.light_types import NamedTuple

# What a config says of the container or image that it was made in, which is not this one.
_NOT_INHERITED = frozenset({"container", "container_config", "id", "parent", "comment"})


class CommitOptions(NamedTuple):
    """The options of `commit` that the new image shows: its name, author, comment, and Dockerfile instructions that change
    its config.
    """

    reference: str | None = None
    author: str = ""
    message: str = ""
    changes: Sequence[str] = ()


def commit(
    store: Store,
    base: Image | None,
    layer: Iterable[bytes],
    options: CommitOptions = CommitOptions(),  # noqa: B008 - a frozen value
    *,
    created: str,
    created_by: str,
    config: Json | None = None,
    moved: Moved | None = None,
) -> LoadedImage:
    """Add a layer to an image, or start one from nothing; returns the new image.

    `config` is what to run (Cmd, Env, ...), the base's if None; `changes` are applied to it.
    `created` is an RFC 3339 time. `moved` is called with the size of each piece of the layer.
    Raises UsageError for a malformed reference or change, NotFoundError if the base has gone.
    """
    reference, author, message, changes = options
    tags = () if reference is None else (parse_tag(reference),)
    if config is None:
        config = base.config if base is not None else {}
    # Where an image names no PATH, its containers have the default one, which "$PATH" in a change is then.
    config = _with_command(apply_changes(config, changes, path=DEFAULT_PATH), config)
    store.require_writable()
    with Ingest(store, Limits(), moved) as ingest:
        below = keep_base(store, ingest, base)
        # An empty piece would be taken for the end.
        pieces = (piece for piece in layer if piece)
        written = ingest.add_layer(lambda _: next(pieces, b""), "the new layer")
        step: Json = {"created": created, "created_by": created_by}
        if author:
            step["author"] = author
        if message:
            step["comment"] = message
        document = {
            **inherited(base),
            "created": created,
            **({"author": author} if author else {}),
            "config": config,
            "rootfs": {
                "type": "layers",
                "diff_ids": [*(base.diff_ids if base is not None else ()), written.diff_id],
            },
            "history": [*(base.image_config.history if base is not None else ()), step],
        }
        top = Descriptor(media_types.OCI_LAYER, written.digest, written.blob_size)
        image = new_image(ingest, encode(document), (*below, top), tags)
        ingest.publish([image])
    return LoadedImage(image.manifest.annotations[CONFIG_DIGEST], tags)


def _with_command(changed: Json, before: Json) -> Json:
    """As in Docker's commit, changes cannot leave an image with nothing to run that had something."""
    if changed.get("Entrypoint") or changed.get("Cmd"):
        return changed
    kept = {name: before[name] for name in ("Entrypoint", "Cmd") if before.get(name)}
    return {**changed, **kept}


def inherited(base: Image | None) -> Json:
    """The fields that the configuration of an image made of `base` inherits: platform, author and the like; of this
    machine without a base.
    """
    if base is None:
        host = host_platform()
        variant = {"variant": host.variant} if host.variant else {}
        return {"architecture": host.architecture, "os": host.os, **variant}
    document = base.image_config.document
    return {key: value for key, value in document.items() if key not in _NOT_INHERITED}


# Docker's types for layers in an OCI manifest would make a mixture that strict readers refuse.
_AS_OCI = {
    media_types.DOCKER_LAYER: media_types.OCI_LAYER_GZIP,
    media_types.DOCKER_LAYER_PLAIN: media_types.OCI_LAYER,
    media_types.DOCKER_LAYER_PLAIN + ".zstd": media_types.OCI_LAYER_ZSTD,
}


def keep_base(store: Store, ingest: Ingest, base: Image | None) -> tuple[Descriptor, ...]:
    """Pin what is below the new layer; its descriptors."""
    if base is None:
        return ()
    layer_files(store, base)
    layers = manifest_of(store, base).layers
    kept = all(
        [
            *(ingest.keep_blob(each.digest) for each in layers),
            *(ingest.keep_layer(diff_id) for diff_id in base.diff_ids),
        ]
    )
    if not kept:
        raise NotFoundError(f"image {base.id} was removed meanwhile")
    return tuple(
        each._replace(media_type=_AS_OCI.get(each.media_type, each.media_type)) for each in layers
    )
