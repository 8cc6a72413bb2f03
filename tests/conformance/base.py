"""The base image of the cases: busybox, with the files of /etc that engines mount over."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

from tests.support.images import add_file, busybox_tar


def base_tar(path: Path) -> None:
    """Write the root file system as a tar."""
    busybox_tar(path)
    with tarfile.open(path, "a", format=tarfile.PAX_FORMAT) as archive:
        for name in ("hosts", "hostname", "resolv.conf"):
            add_file(archive, f"etc/{name}", b"")


if __name__ == "__main__":
    base_tar(Path(sys.argv[1]))
