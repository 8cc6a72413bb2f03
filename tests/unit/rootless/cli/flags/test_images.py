"""IMAGE as an argument."""

import pytest

from rootless.cli.flags.images import image_name
from rootless.errors import UsageError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("debian", "debian"),
        ("docker://debian:12", "debian:12"),
        ("docker://localhost:5000/a", "localhost:5000/a"),
    ],
)
def test_registry_transport_is_no_part_of_the_name(text, name):
    assert image_name(text) == name


@pytest.mark.parametrize("text", ["./deb.sqfs", "/tmp/root", "../x.tar"])
def test_path_is_refused_with_what_to_use(text):
    with pytest.raises(UsageError, match="is a path, not the name of an image") as caught:
        image_name(text)
    assert f"--rootfs {text}" in (caught.value.hint or "")
