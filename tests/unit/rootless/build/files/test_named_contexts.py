"""What names repositories and named contexts."""

import pytest

from rootless.build.errors import BuildError
from rootless.build.files.git import GitSource, git_source
from rootless.build.files.named_contexts import ContextKind, NamedContext, named_context
from rootless.build.files.selection import clean


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://h/r.git", GitSource("https://h/r.git")),
        ("https://h/r.git#main:a/b", GitSource("https://h/r.git", "main", "a/b")),
        ("https://h/r.git#:a/../../b", GitSource("https://h/r.git", "", "b")),
        ("git@h:o/r.git#v1", GitSource("git@h:o/r.git", "v1")),
        ("github.com/o/r", GitSource("https://github.com/o/r")),
        ("git://h/r", GitSource("git://h/r")),
        ("ssh://git@h/r", GitSource("ssh://git@h/r")),
        ("https://h/file.tar.gz", None),
        ("dir/name.git", None),
        ("name", None),
    ],
)
def test_repositories(text, found):
    assert git_source(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("docker-image://a/b:1", NamedContext(ContextKind.IMAGE, "a/b:1")),
        ("oci-layout:///d/l:tag", NamedContext(ContextKind.IMAGE, "tag", "/d/l")),
        ("oci-layout:///d/l", NamedContext(ContextKind.IMAGE, "", "/d/l")),
        ("oci-layout:///d/l@sha256:00", NamedContext(ContextKind.IMAGE, "sha256:00", "/d/l")),
        ("https://h/x.tar", NamedContext(ContextKind.URL, "https://h/x.tar")),
        ("/", NamedContext(ContextKind.DIRECTORY, "/")),
    ],
)
def test_named_contexts(text, found):
    assert named_context(text) == found


def test_a_directory_has_to_be_there(tmp_path):
    with pytest.raises(BuildError, match="no such file or directory"):
        named_context(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("a/b", "a/b"),
        ("/a", "a"),
        ("../../a", "a"),
        (".", ""),
        ("a/../..", ""),
        ("./a/./b/", "a/b"),
    ],
)
def test_sources_stay_in_their_tree(word, path):
    assert clean(word) == path
