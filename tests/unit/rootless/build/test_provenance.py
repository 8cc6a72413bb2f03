"""Package URLs of images."""

from __future__ import annotations

import pytest

from rootless.build.provenance import package_url
from rootless.oci.platform import Platform
from rootless.oci.reference import parse_reference

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("alpine", "pkg:docker/alpine@latest?platform=linux%2Farm%2Fv7"),
        ("a/b:1", "pkg:docker/a/b@1?platform=linux%2Farm%2Fv7"),
        ("127.0.0.1:5000/base:1", "pkg:docker/127.0.0.1:5000/base@1?platform=linux%2Farm%2Fv7"),
        (
            f"reg.example/b@{DIGEST}",
            f"pkg:docker/reg.example/b?digest={DIGEST}&platform=linux%2Farm%2Fv7",
        ),
        (
            f"b:1@{DIGEST}",
            f"pkg:docker/b@1?digest={DIGEST}&platform=linux%2Farm%2Fv7",
        ),
    ],
)
def test_an_image_as_a_package_url(name, url):
    assert package_url(parse_reference(name), Platform("linux", "arm", "v7")) == url


def test_a_platform_may_be_unknown():
    assert package_url(parse_reference("a"), None) == "pkg:docker/a@latest"
