"""A session serves a directory, and says what it is in mountinfo."""

import pytest

from tests.support.passthrough import Passthrough
from tests.support.unionmount import mounted
from unionfs.session.device import serve

pytestmark = pytest.mark.needs("userns", "fuse")


def test_device_session_passthrough_serves_files(tmp_path):
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_text("content")
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    with mounted(serve, lambda: Passthrough(source), mountpoint) as union:
        assert union.mountinfo().startswith("fuse.rootless-unionfs rootless-unionfs ")
        assert (union.path / "sub" / "file").read_text() == "content"
        (union.path / "new").write_text("written")
        assert (source / "new").read_text() == "written"
        with pytest.raises(FileNotFoundError):
            (union.path / "missing").stat()
        (union.path / "missing").mkdir()
        assert (source / "missing").is_dir()
