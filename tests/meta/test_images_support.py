"""The images that the suite makes for itself are images to others too."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.images import docker_archive, oci_archive, oci_layout


@pytest.mark.needs("skopeo", "busybox")
@pytest.mark.parametrize("transport", ["docker-archive", "oci", "oci-archive"])
def test_archive_written_by_the_suite_is_read_by_skopeo(
    transport: str, busybox_image: Path, tmp_path: Path
) -> None:
    layers = [busybox_image.read_bytes()]
    write = {"docker-archive": docker_archive, "oci": oci_layout, "oci-archive": oci_archive}[
        transport
    ]
    path = tmp_path / "image"
    write(path, layers, config={"Entrypoint": ["/bin/echo"]})
    done = subprocess.run(
        ["skopeo", "inspect", "--config", f"{transport}:{path}"],
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert json.loads(done.stdout)["config"]["Entrypoint"] == ["/bin/echo"]
