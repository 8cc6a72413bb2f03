"""References: Docker's grammar and normal form."""

import pytest

from rootless.errors import UsageError
from rootless.oci.reference import Reference, parse_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "normal", "familiar"),
    [
        ("debian", "docker.io/library/debian", "debian"),
        ("debian:12", "docker.io/library/debian:12", "debian:12"),
        ("library/debian", "docker.io/library/debian", "debian"),
        ("docker.io/debian", "docker.io/library/debian", "debian"),
        ("index.docker.io/debian", "docker.io/library/debian", "debian"),
        ("docker.io/library/debian", "docker.io/library/debian", "debian"),
        ("team/app", "docker.io/team/app", "team/app"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/app", "localhost:5000/app", "localhost:5000/app"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("quay.io/a/b/c:T_-.1", "quay.io/a/b/c:T_-.1", "quay.io/a/b/c:T_-.1"),
        ("Host/app", "Host/app", "Host/app"),
        ("127.0.0.1/app", "127.0.0.1/app", "127.0.0.1/app"),
        ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
        ("docker.io/localhost/x", "docker.io/localhost/x", "docker.io/localhost/x"),
        ("docker.io/a.b/x", "docker.io/a.b/x", "docker.io/a.b/x"),
        ("a__b/c-d--e/f.g", "docker.io/a__b/c-d--e/f.g", "a__b/c-d--e/f.g"),
        (f"debian@{DIGEST}", f"docker.io/library/debian@{DIGEST}", f"debian@{DIGEST}"),
        (f"x:1@{DIGEST}", f"docker.io/library/x:1@{DIGEST}", f"x:1@{DIGEST}"),
    ],
)
def test_reference_has_a_normal_and_a_familiar_form(text, normal, familiar):
    reference = parse_reference(text)
    assert str(reference) == normal
    assert reference.familiar == familiar


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":1",
            "@",
            "a@",
            "a:",
            "a:b:c",
            "Debian",
            "a/B",
            "a b",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a-",
            "a..b",
        ),
        *("a___b", "_a", "a_", "a:-x", "a:" + "x" * 129, "a@sha256:12", "a@sha256:" + "g" * 64),
        *("https://host/app", "a" * 64 + ":", "f" * 64, "host.io:port/app", "a@" + DIGEST + "0"),
        *("é", "a:é", "a\n", "a:1\n", "-h.io/x", "docker.io/" + "a" * 256),
    ],
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(UsageError, match="invalid reference format"):
        parse_reference(text)


def test_default_tag_is_added_only_where_there_is_neither_tag_nor_digest():
    assert parse_reference("a").with_default_tag().tag == "latest"
    assert parse_reference("a:1").with_default_tag().tag == "1"
    assert parse_reference(f"a@{DIGEST}").with_default_tag() == Reference(
        "docker.io", "library/a", None, DIGEST
    )
