"""The download of one layer into the store.

One pass: what the network gives is appended to the partial blob, while a thread reads the same file from its
beginning, decompresses, hashes, and writes tar and index (rootless.store.ingest). A second pull that wants the
same layer waits for the lock of the partial blob.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import trio

from rootless.errors import (
    IntegrityError,
    InvalidDocumentError,
    NotFoundError,
    RootlessError,
)
from rootless.images.transfer.progress import Progress, Stage
from rootless.oci import media_types
from rootless.oci.manifest import Descriptor
from rootless.registry.client import RepositoryClient
from rootless.registry.download import download
from rootless.registry.remote import BrokenOffError, RemoteOptions
from rootless.store.ingest import Ingest
from rootless.store.layout import Store
from rootless.store.partial import PartialBlob, open_partial

_LOCK_POLL = 0.1
"""Seconds between two attempts to take the lock of a layer."""


class LayerFetch:
    """The download of one layer."""

    def __init__(
        self,
        store: Store,
        ingest: Ingest,
        clients: Sequence[RepositoryClient],
        layer: Descriptor,
        *,
        diff_id: str,
        progress: Progress,
        options: RemoteOptions,
    ) -> None:
        self._store = store
        self._ingest = ingest
        self._clients = clients
        self._layer = layer
        self._diff_id = diff_id
        self._progress = progress
        self._options = options
        self._what = f"layer {layer.digest}"

    async def run(self, limiter: trio.CapacityLimiter) -> None:
        if self._is_there():
            self._say(Stage.EXISTS)
            return
        self._say(Stage.PULLING)
        async with limiter:
            blob = await self._take()
            if blob is None:
                self._say(Stage.EXISTS)
                return
            try:
                if not await self._made_of_blob():
                    await self._fetch(blob)
                blob.discard()
            finally:
                blob.close()
        self._say(Stage.PULLED)

    def _is_there(self) -> bool:
        layer, ingest = self._layer, self._ingest
        return ingest.keep_blob(layer.digest, layer.size) and ingest.keep_layer(self._diff_id)

    async def _take(self) -> PartialBlob | None:
        """The lock of this layer; None if, once it is ours, another process has brought the layer
        in."""
        waited = False
        while (blob := open_partial(self._store, self._layer.digest)) is None:
            if not waited:
                waited = True
                self._say(Stage.WAITING)
            await trio.sleep(_LOCK_POLL)
        if self._is_there():
            blob.discard()
            blob.close()
            return None
        return blob

    async def _made_of_blob(self) -> bool:
        """Make the layer of the blob, if only that is in the store, as other tools put it there."""
        if not self._ingest.keep_blob(self._layer.digest, self._layer.size):
            return False
        try:
            with self._store.open_blob(self._layer.digest, self._what) as stream:
                add = partial(
                    self._ingest.add_layer,
                    stream.read,
                    self._what,
                    diff_id=self._diff_id,
                    blob=self._layer,
                )
                await trio.to_thread.run_sync(add)
        except (NotFoundError, IntegrityError, InvalidDocumentError):
            # Damaged, or gone meanwhile: the registry has it.
            return False
        return True

    async def _fetch(self, blob: PartialBlob) -> None:
        if blob.size > self._layer.size:
            blob.rewind()
        resumed = blob.size > 0
        try:
            await self._receive_and_store(blob)
        except* (IntegrityError, InvalidDocumentError):
            if not resumed:
                blob.discard()
                raise
        else:
            return
        # What an earlier pull left may be what is wrong.
        blob.rewind()
        try:
            await self._receive_and_store(blob)
        except* (IntegrityError, InvalidDocumentError):
            blob.discard()
            raise

    async def _receive_and_store(self, blob: PartialBlob) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive, blob)
            add = partial(
                self._ingest.add_layer,
                blob.read,
                self._what,
                diff_id=self._diff_id,
                blob=self._layer,
                held=blob.path,
            )
            written = await trio.to_thread.run_sync(add)
            if written.compression not in media_types.OCI_LAYER_FOR_COMPRESSION:
                raise InvalidDocumentError(
                    f"{self._what} is compressed with {written.compression}, which is not allowed in an image"
                )
            self._ingest.share([(written.diff_id, written.digest)])

    async def _receive(self, blob: PartialBlob) -> None:
        failure: Exception | None = BrokenOffError()
        try:
            await download(self._clients, self._layer, blob, self._options.timing, self._received)
            failure = None
        except OSError as error:
            raise RootlessError(
                f"cannot store {self._what} in {self._store.root}: {error.strerror or error}"
            ) from error
        finally:
            blob.end(failure)
        self._say(Stage.DOWNLOADED)

    def _received(self, size: int) -> None:
        self._progress.layer(_short(self._layer), Stage.DOWNLOADING, size, self._layer.size)

    def _say(self, stage: Stage) -> None:
        self._progress.layer(_short(self._layer), stage)


def _short(layer: Descriptor) -> str:
    return layer.digest.partition(":")[2][:12]
