"""What is typed as the image of a command of `hpc`."""

import pytest

from rootless.errors import UsageError
from rootless.hpc.names import Source, parse_source


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alpine", Source(name="alpine")),
        ("docker://alpine:3", Source(name="alpine:3")),
        ("registry.example:5000/a/b:c", Source(name="registry.example:5000/a/b:c")),
        ("tool.sif", Source(path="tool.sif")),
        ("images/tool.sqfs", Source(path="images/tool.sqfs")),
        ("./dir", Source(path="./dir")),
        ("/img", Source(path="/img")),
        ("here", Source(path="here")),
        ("docker-archive:/a.tar", Source(archive="/a.tar")),
        ("oci-archive:a.tar", Source(archive="a.tar")),
        ("oci:dir:tag", Source(archive="dir:tag")),
    ],
)
def test_images(text, expected):
    assert parse_source(text, lambda path: path == "here") == expected


@pytest.mark.parametrize(
    "text", ["library://alpine", "shub://x", "oras://r/x:1", "docker-daemon:x", "instance://web"]
)
def test_what_needs_another_client_is_refused_with_what_to_do(text):
    with pytest.raises(UsageError) as raised:
        parse_source(text, lambda _: False)
    assert raised.value.message == f"{text}: this kind of image is not supported"
    assert raised.value.hint
