"""The build context: the Dockerfile and .dockerignore that are read from it."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from rootless.build.errors import BuildError
from rootless.build.files.context import ContextRequest, open_context

TOO_LARGE = b"#" * (16 << 20) + b"\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / ".dockerignore").write_text("secret\n")
    return tmp_path


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore"])
def test_file_of_which_only_a_part_would_be_read_is_refused(directory: Path, name: str) -> None:
    (directory / name).write_bytes(TOO_LARGE)
    with pytest.raises(BuildError, match=rf"^{name} is larger than 16 MiB$"):
        open_context(ContextRequest(directory=str(directory)), lambda _: directory)


def test_dockerfile_of_an_archive_of_which_only_a_part_would_be_read_is_refused(
    tmp_path: Path,
) -> None:
    def new_directory(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    archive = tmp_path / "context.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(TOO_LARGE)
        tar.addfile(member, BytesIO(TOO_LARGE))
    with (
        archive.open("rb") as file,
        pytest.raises(BuildError, match=r"^Dockerfile is larger than 16 MiB$"),
    ):
        open_context(ContextRequest(archive=file.fileno()), new_directory)
