"""The layers of --overlay: what is wrong with them is found before a process starts."""

from __future__ import annotations

import os

from rootless.containers.writable_layer import make_layer
from rootless.errors import NotFoundError, RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.spec.options import Overlay


def prepare_overlays(overlays: Iterable[Overlay]) -> tuple[str, tuple[str, ...]]:
    """The directory of the writable one, with the directories of a writable layer, or "", and the paths of those that
    are only read, top first.

    Raises:
        NotFoundError: one does not exist, or is neither a directory nor a squashfs file.
        RootlessError: the writable one is a file, or the caller cannot write to it.
    """
    writable, read = "", []
    for overlay in overlays:
        if not os.path.exists(overlay.path):
            raise NotFoundError(
                f"the overlay {overlay.path} does not exist", hint=f"mkdir {overlay.path}"
            )
        if overlay.read_only:
            _check_readable(overlay.path)
            read.append(overlay.path)
        else:
            _make_writable(overlay.path)
            writable = overlay.path
    return writable, tuple(read)


def _check_readable(path: str) -> None:
    from rootless.rootfs.overlays import open_overlay

    try:
        open_overlay(path, (0, 0)).close()
    except OSError as error:
        raise RootlessError(
            f"the overlay {path} cannot be read: {(error.strerror or '').lower()}"
        ) from None


def _make_writable(path: str) -> None:
    if not os.path.isdir(path):
        raise RootlessError(
            f"the overlay {path} is not a directory, and only a directory can be written to",
            hint=f"use --overlay {path}:ro",
        )
    try:
        make_layer(path)
    except OSError as error:
        raise RootlessError(
            f"the overlay {path} cannot be written to: {(error.strerror or '').lower()}",
            hint=f"use --overlay {path}:ro to read it",
        ) from None
