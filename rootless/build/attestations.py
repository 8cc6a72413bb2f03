"""Attestation manifests, in BuildKit's form: statements in an index about the images of the index.

An attestation manifest is an image manifest for the platform unknown/unknown, whose layers are in-toto statements;
annotations of its descriptor name the manifest that it is about.
"""

from __future__ import annotations

import hashlib
import os
import stat
from json import dumps

from rootless.build.files.sources import Source, walk
from rootless.build.provenance import (
    Invocation,
    Material,
    package_url,
    predicate,
    statement,
)
from rootless.oci import media_types
from rootless.oci.conversion import REFERENCE_DIGEST
from rootless.oci.document import Json, encode
from rootless.oci.manifest import Descriptor, new_manifest
from rootless.oci.platform import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rootless.build.provenance import ProvenanceOptions
    from rootless.oci.reference import Reference
    from rootless.store.ingest import Ingest

_IN_TOTO = "application/vnd.in-toto+json"
_PREDICATE_TYPE = "in-toto.io/predicate-type"
_REFERENCE_TYPE = "vnd.docker.reference.type"
_UNKNOWN = Platform("unknown", "unknown")


class Provenance:
    """Makes the provenance attestations of one build."""

    def __init__(self, options: ProvenanceOptions, invocation: Invocation) -> None:
        self._options = options
        self._invocation = invocation

    def attest(
        self,
        ingest: Ingest,
        manifest: Descriptor,
        platform: Platform,
        names: Sequence[Reference],
        materials: Sequence[Material],
    ) -> Descriptor:
        """Add the attestation manifest of an image manifest; its descriptor in the index."""
        subjects = [(package_url(name, platform), manifest.digest) for name in names]
        return _manifest(ingest, self._statement(subjects, materials), manifest.digest)

    def of_files(self, tree: Source, materials: Sequence[Material]) -> bytes:
        """The statement about every regular file of a tree, as JSON. Raises OSError."""
        return dumps(self._statement(_digests_of_files(tree), materials), indent=2).encode()

    def _statement(
        self, subjects: Iterable[tuple[str, str]], materials: Sequence[Material]
    ) -> Json:
        content = predicate(self._options, self._invocation, materials)
        return statement(self._options.version, content, subjects)


def _digests_of_files(tree: Source) -> Iterator[tuple[str, str]]:
    for entry in walk(tree, b""):
        if stat.S_ISREG(entry.attributes.mode):
            hashed = hashlib.sha256()
            for piece in tree.open(entry.path, entry.attributes.size):
                hashed.update(piece)
            yield os.fsdecode(entry.path), f"sha256:{hashed.hexdigest()}"


def _manifest(ingest: Ingest, document: Json, subject: str) -> Descriptor:
    data = encode(document)
    digest = ingest.add_document(data)
    config = encode(
        {
            "architecture": _UNKNOWN.architecture,
            "os": _UNKNOWN.os,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        }
    )
    layer = Descriptor(
        _IN_TOTO, digest, len(data), {_PREDICATE_TYPE: str(document["predicateType"])}
    )
    manifest = new_manifest(
        Descriptor(media_types.OCI_CONFIG, ingest.add_document(config), len(config)), (layer,)
    )
    annotations = {REFERENCE_DIGEST: subject, _REFERENCE_TYPE: "attestation-manifest"}
    return Descriptor(
        media_types.OCI_MANIFEST,
        ingest.add_document(manifest),
        len(manifest),
        annotations,
        _UNKNOWN,
    )
