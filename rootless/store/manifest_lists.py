"""Manifest lists that `manifest create` makes: one JSON document for each, in manifests/.

A document is named by the SHA-256 of the list's name, and replaced as a whole under the store's lock.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from rootless.durable import write_atomically
from rootless.errors import InvalidDocumentError
from rootless.oci import media_types
from rootless.oci.digest import hex_of, sha256_digest
from rootless.oci.document import Json, encode, optional, parse_object, required
from rootless.oci.manifest import Descriptor, read_descriptor
from rootless.oci.reference import Reference, parse_reference
from rootless.store.layout import Store

_PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")


class Entry(NamedTuple):
    """One manifest of a list, and the reference under which a registry has it."""

    reference: Reference
    descriptor: Descriptor


class ManifestList(NamedTuple):
    """A list under its name."""

    name: Reference
    entries: tuple[Entry, ...]

    def document(self) -> bytes:
        """The index as `docker manifest push` lays it out, so that equal lists have equal digests
        whichever tool pushes them. Docker's media type if every entry has Docker's, else OCI's."""
        document = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "manifests": [_in_docker_order(entry.descriptor) for entry in self.entries],
        }
        return json.dumps(document, indent=3, ensure_ascii=False).encode()

    @property
    def media_type(self) -> str:
        docker = all(e.descriptor.media_type == media_types.DOCKER_MANIFEST for e in self.entries)
        return media_types.DOCKER_INDEX if docker else media_types.OCI_INDEX


def _in_docker_order(descriptor: Descriptor) -> Json:
    document = descriptor.to_json()
    platform = optional(document, "platform", dict, "platform")
    if platform is not None:
        named = {name: platform[name] for name in _PLATFORM if name in platform}
        document["platform"] = {**named, **platform}
    first = {name: document[name] for name in ("mediaType", "size", "digest")}
    return {**first, **document}


def path_of_list(store: Store, name: Reference) -> Path:
    """The file of the list of this name."""
    return Path(store.root) / "manifests" / f"{hex_of(sha256_digest(str(name).encode()))}.json"


def read_list(store: Store, name: Reference) -> ManifestList | None:
    """The list of this name, or None. Raises InvalidDocumentError, UsageError for a damaged file."""
    path = path_of_list(store, name)
    try:
        return parse_list(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidDocumentError(f"cannot read {path}: {error.strerror}") from None


def parse_list(data: bytes, what: str) -> ManifestList:
    """A list as its file has it; `what` names it in errors. Raises InvalidDocumentError,
    UsageError."""
    document = parse_object(data, what)
    entries = []
    for each in required(document, "entries", list, what):
        if not isinstance(each, dict):
            raise InvalidDocumentError(f"{what}: entries is not a list of objects")
        reference = parse_reference(required(each, "reference", str, what))
        entries.append(Entry(reference, read_descriptor(each.get("descriptor"), what)))
    name = parse_reference(required(document, "name", str, what)).with_default_tag()
    return ManifestList(name, tuple(entries))


def write_list(store: Store, listed: ManifestList) -> None:
    """Replace the file of a list."""
    path = path_of_list(store, listed.name)
    path.parent.mkdir(exist_ok=True)
    entries = [
        {"reference": str(entry.reference), "descriptor": entry.descriptor.to_json()}
        for entry in listed.entries
    ]
    with store.lock():
        write_atomically(path, encode({"name": str(listed.name), "entries": entries}))
