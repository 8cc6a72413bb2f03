"""image inspect and history: the output of Docker's commands as values."""

from __future__ import annotations

from typing import NamedTuple

from rootless.oci.document import Json
from rootless.store.image import Image
from rootless.store.layers import image_size, layer_size
from rootless.store.layout import Store

# What docker 28.5 shows of every image's config (api/types/image, InspectResponse); further fields only
# if the image has them.
_CONFIG: Json = {
    "Cmd": None,
    "Entrypoint": None,
    "Env": None,
    "Labels": None,
    "OnBuild": None,
    "User": "",
    "Volumes": None,
    "WorkingDir": "",
}
_MORE_CONFIG = ("ArgsEscaped", "ExposedPorts", "Healthcheck", "Shell", "StopSignal")


def inspect(store: Store, image: Image) -> Json:
    """The object of `docker image inspect`. GraphDriver names the layers, lowest last as in the LowerDir
    of overlay."""
    document = image.image_config.document
    size = image_size(store, image)
    layers = [str(store.layer_files(diff_id).tar) for diff_id in reversed(image.diff_ids)]
    return {
        "Id": image.id,
        "RepoTags": [tag.familiar for tag in image.tags],
        "RepoDigests": image.familiar_digests,
        "Parent": document.get("parent") or "",
        "Comment": document.get("comment") or _last_comment(image),
        "Created": image.created,
        "DockerVersion": document.get("docker_version") or "",
        "Author": document.get("author") or "",
        "Architecture": document.get("architecture") or "",
        **({"Variant": document["variant"]} if document.get("variant") else {}),
        "Os": document.get("os") or "",
        **({"OsVersion": document["os.version"]} if document.get("os.version") else {}),
        "Size": size,
        "GraphDriver": {"Data": {"LowerDir": ":".join(layers)}, "Name": "unionfs"},
        "RootFS": {
            "Type": "layers",
            **({"Layers": list(image.diff_ids)} if image.diff_ids else {}),
        },
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        "Config": _config(image),
    }


def _config(image: Image) -> Json:
    shown = {name: image.config.get(name, default) for name, default in _CONFIG.items()}
    more = {name: image.config[name] for name in _MORE_CONFIG if image.config.get(name)}
    return dict(sorted((shown | more).items()))


def _last_comment(image: Image) -> object:
    return (
        (image.image_config.history[-1].get("comment") or "") if image.image_config.history else ""
    )


class HistoryEntry(NamedTuple):
    """One step of how an image was made. `id` is the image's for the newest, else `<missing>` as in
    Docker."""

    id: str
    created: str
    created_by: str
    size: int
    comment: str
    tags: tuple[str, ...]


def history(store: Store, image: Image) -> list[HistoryEntry]:
    """The steps, newest first. Layers that the config's history does not account for come as steps
    without a command."""
    entries: list[HistoryEntry] = []
    left = list(image.diff_ids)
    for step in image.image_config.history:
        size = 0
        if not step.get("empty_layer") and left:
            size = layer_size(store, left.pop(0))
        entries.append(
            HistoryEntry(
                "<missing>",
                str(step.get("created") or ""),
                str(step.get("created_by") or ""),
                size,
                str(step.get("comment") or ""),
                (),
            )
        )
    entries += [HistoryEntry("<missing>", "", "", layer_size(store, each), "", ()) for each in left]
    entries.reverse()
    if entries:
        entries[0] = entries[0]._replace(
            id=image.id, tags=tuple(tag.familiar for tag in image.tags)
        )
    return entries
