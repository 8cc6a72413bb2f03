"""What is in a tar archive, to compare."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path


def members(path: Path) -> dict[str, tuple[object, ...]]:
    """Everything in an archive but times, by name."""
    with tarfile.open(path) as archive:
        return {
            each.name: (
                each.type,
                oct(each.mode),
                each.uid,
                each.gid,
                each.linkname,
                hashlib.sha256(archive.extractfile(each).read()).hexdigest()  # type: ignore[union-attr]
                if each.isreg()
                else None,
            )
            for each in archive
        }
