"""Which paths patterns leave out. The outcomes are those of `docker build` of Docker 28.5, which copied the same tree with the
same .dockerignore; the rest follows github.com/moby/patternmatcher."""

import pytest

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.ignore import IgnorePatterns, read_ignore_file

TREE = [
    " lead",
    "!bang",
    "#hash",
    ".foo",
    "Dockerfile.x",
    "Main.go",
    "a(b)c/def",
    "a*b",
    "a/dir/file.txt",
    "a/file.txt",
    "a/x/y/file.txt",
    "a[b",
    "a\\b",
    "a]b",
    "aab",
    "aabb",
    "ab",
    "abc.def",
    "abc/def",
    "abc/ghi/def",
    "abcZdef",
    "axb",
    "bar.foo",
    "dir/dir2/dir3/file",
    "dir/dir2/file",
    "dir/file",
    "dir/foo/bar",
    "dots/README.md",
    "dots/sub/y.md",
    "dots/x.md",
    "file",
    "foo/bar",
    "main.go",
    "node_modules/m/index.js",
    "q/r/s/t.c",
    "q/r/s/t.h",
    "q/x.c",
    "sp ace",
    "src/node_modules/n.js",
    "x/aab",
    "xab",
    "é/ü",
]

LEFT_OUT = [
    (["dir"], ["dir/dir2/dir3/file", "dir/dir2/file", "dir/file", "dir/foo/bar"]),
    (["dir/"], ["dir/dir2/dir3/file", "dir/dir2/file", "dir/file", "dir/foo/bar"]),
    (["/dir"], ["dir/dir2/dir3/file", "dir/dir2/file", "dir/file", "dir/foo/bar"]),
    (["dir/**"], ["dir/dir2/dir3/file", "dir/dir2/file", "dir/file", "dir/foo/bar"]),
    (["**/dir2"], ["dir/dir2/dir3/file", "dir/dir2/file"]),
    (["**/dir2/*"], ["dir/dir2/dir3/file", "dir/dir2/file"]),
    (["**/dir2/**"], ["dir/dir2/dir3/file", "dir/dir2/file"]),
    (["**file"], ["dir/dir2/dir3/file", "dir/dir2/file", "dir/file", "file"]),
    (
        ["**/file*"],
        [
            "a/dir/file.txt",
            "a/file.txt",
            "a/x/y/file.txt",
            "dir/dir2/dir3/file",
            "dir/dir2/file",
            "dir/file",
            "file",
        ],
    ),
    (
        ["**file*"],
        [
            "a/dir/file.txt",
            "a/file.txt",
            "a/x/y/file.txt",
            "dir/dir2/dir3/file",
            "dir/dir2/file",
            "dir/file",
            "file",
        ],
    ),
    (["**/**/*.txt"], ["a/dir/file.txt", "a/file.txt", "a/x/y/file.txt"]),
    (["a**/*.txt"], ["a/dir/file.txt", "a/file.txt", "a/x/y/file.txt"]),
    (
        ["a**"],
        [
            "a(b)c/def",
            "a*b",
            "a/dir/file.txt",
            "a/file.txt",
            "a/x/y/file.txt",
            "a[b",
            "a\\b",
            "a]b",
            "aab",
            "aabb",
            "ab",
            "abc.def",
            "abc/def",
            "abc/ghi/def",
            "abcZdef",
            "axb",
        ],
    ),
    (["a**b"], ["ab"]),
    (["*a**b"], ["aab", "ab", "xab"]),
    (["a/*.txt"], ["a/file.txt"]),
    (["a[b-x]b"], ["axb"]),
    (["a[^b]b"], ["a*b", "a[b", "a\\b", "a]b", "aab", "axb"]),
    ([".*"], [".foo"]),
    (["abc.def"], ["abc.def"]),
    (["abc?def"], ["abc.def", "abcZdef"]),
    (["a\\*b"], ["a*b"]),
    (["a\\\\b"], ["a\\b"]),
    (["**/foo/bar"], ["dir/foo/bar", "foo/bar"]),
    (["abc/**"], ["abc/def", "abc/ghi/def"]),
    (["**/.foo"], [".foo"]),
    (["a(b)c/def"], ["a(b)c/def"]),
    (["dots", "!dots/README.md"], ["dots/sub/y.md", "dots/x.md"]),
    (["dots/*", "!dots/README.md"], ["dots/sub/y.md", "dots/x.md"]),
    (["*.md", "!*.md"], []),
    (["**/*.md", "!dots/x.md", "dots/**"], ["dots/README.md", "dots/sub/y.md", "dots/x.md"]),
    (["**/*.c", "!q/r"], ["q/r/s/t.c", "q/x.c"]),
    (["# comment", "#hash"], []),
    (["\\#hash"], ["#hash"]),
    (["\\!bang"], ["!bang"]),
    ([" lead"], []),
    (["sp ace"], ["sp ace"]),
    (["é"], ["é/ü"]),
    (["a]b"], ["a]b"]),
    (["a\\[b"], ["a[b"]),
    (["[mM]ain.go"], ["Main.go", "main.go"]),
    (["./dots/../a"], ["a/dir/file.txt", "a/file.txt", "a/x/y/file.txt"]),
    (["."], []),
    (["/"], []),
    ([".."], []),
    (["../a"], []),
    (["!dots"], []),
    (["  dots  "], ["dots/README.md", "dots/sub/y.md", "dots/x.md"]),
    (["*/file"], ["dir/file"]),
    (["*/*/file"], ["dir/dir2/file"]),
    (["**/node_modules"], ["node_modules/m/index.js", "src/node_modules/n.js"]),
    (["node_modules/**/*.js"], ["node_modules/m/index.js"]),
    (["q/**/t.*"], ["q/r/s/t.c", "q/r/s/t.h"]),
    (["q/**"], ["q/r/s/t.c", "q/r/s/t.h", "q/x.c"]),
    (["q/**", "!q/**/*.c"], ["q/r/s/t.h"]),
    (["q", "!q/**/*.c"], ["q/r/s/t.h"]),
    (["[^q]"], ["a/dir/file.txt", "a/file.txt", "a/x/y/file.txt", "x/aab", "é/ü"]),
    (["d*r/d*2"], ["dir/dir2/dir3/file", "dir/dir2/file"]),
    (["?ir"], ["dir/dir2/dir3/file", "dir/dir2/file", "dir/file", "dir/foo/bar"]),
    (
        ["**/*b"],
        ["a*b", "a[b", "a\\b", "a]b", "aab", "aabb", "ab", "axb", "dots/sub/y.md", "x/aab", "xab"],
    ),
    (
        ["**/a*b*"],
        [
            "a(b)c/def",
            "a*b",
            "a[b",
            "a\\b",
            "a]b",
            "aab",
            "aabb",
            "ab",
            "abc.def",
            "abc/def",
            "abc/ghi/def",
            "abcZdef",
            "axb",
            "x/aab",
        ],
    ),
    (["*a*b"], ["a*b", "a[b", "a\\b", "a]b", "aab", "aabb", "ab", "axb", "xab"]),
    (["x/../dots"], ["dots/README.md", "dots/sub/y.md", "dots/x.md"]),
    (["dots//sub"], ["dots/sub/y.md"]),
    (["é/*", "!é/ü"], []),
    (["Dockerfile.x"], ["Dockerfile.x"]),
    ([".dockerignore"], []),
]

KEPT = [
    (["**"], []),
    (["**/"], []),
    (["*"], []),
    (["*", "!dots/sub"], ["dots/sub/y.md"]),
    (["**", "!dots/sub/y.md"], ["dots/sub/y.md"]),
    (["*", "!q/*/s"], ["q/r/s/t.c", "q/r/s/t.h"]),
    (
        ["**/[a-d]*"],
        [
            " lead",
            "!bang",
            "#hash",
            ".foo",
            "Dockerfile.x",
            "Main.go",
            "file",
            "main.go",
            "node_modules/m/index.js",
            "q/r/s/t.c",
            "q/r/s/t.h",
            "q/x.c",
            "sp ace",
            "src/node_modules/n.js",
            "xab",
            "é/ü",
        ],
    ),
    (["**/sub/.."], []),
]

MALFORMED = [
    ("a[]]b", "syntax error in pattern"),
    ("[", "syntax error in pattern"),
    ("a[", "syntax error in pattern"),
    ("[z-a]", "syntax error in pattern"),
    ("a\\", "syntax error in pattern"),
    ("!", 'illegal exclusion pattern: "!"'),
]


def ignored(patterns):
    found = IgnorePatterns(read_ignore_file("\n".join(patterns) + "\n"))
    return [path for path in TREE if found.ignores(path)]


@pytest.mark.parametrize(("patterns", "paths"), LEFT_OUT)
def test_patterns_leave_paths_out(patterns, paths):
    assert ignored(patterns) == paths


@pytest.mark.parametrize(("patterns", "paths"), KEPT)
def test_patterns_keep_paths(patterns, paths):
    left_out = ignored(patterns)
    assert [path for path in TREE if path not in left_out] == paths


@pytest.mark.parametrize(("pattern", "message"), MALFORMED)
def test_malformed_pattern_is_refused(pattern, message):
    with pytest.raises(DockerfileError) as caught:
        IgnorePatterns(read_ignore_file(pattern))
    assert caught.value.message == message


@pytest.mark.parametrize(("patterns", "paths"), LEFT_OUT + KEPT)
def test_walk_from_directory_to_directory_says_the_same(patterns, paths):
    found = IgnorePatterns(read_ignore_file("\n".join(patterns)))
    for path in TREE:
        walked = found.root
        names = path.split("/")
        for count in range(1, len(names) + 1):
            above = "/".join(names[:count])
            walked = found.walk(above, walked)
            if walked.is_ignored and count < len(names) and not found.may_take_in_below(above):
                assert found.ignores(path)
        assert walked.is_ignored == found.ignores(path)


def test_file_may_begin_with_a_byte_order_mark_and_end_its_lines_with_carriage_returns():
    text = "\ufeff# comment\r\n\r\n  /dots/ \r\n ! dots/README.md\r\n"
    assert read_ignore_file(text) == ("dots", "!dots/README.md")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", False),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", False),
        ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("a*b?c*x", "abxbbxdbxebxczzy", False),
        ("[a-ω]*", "π", True),
        ("*[a-ω]", "A", False),
        ("a???b", "a☺b", False),
        ("a[^a]b", "a☺b", True),
        ("[\\]a]", "]", True),
        ("[\\-x]", "-", True),
        ("[x\\-]", "z", False),
        ("*x", "xxx", True),
        ("**/a/**/b/**/c", "a/b/x/b/c", True),
        ("**/a/**/b/**/c", "x/a/y/b/z", False),
        ("x**/b**/c", "x1/2/b/3/c", True),
        ("x**/b**/c", "xb/c", True),
        ("**/*a/b*/c*d", "q/xa/bz/cdd", True),
        ("a/**/b/*", "a/b", False),
    ],
)
def test_pattern_matches_a_path(pattern, path, matches):
    assert IgnorePatterns([pattern]).ignores(path) is matches


def test_exceptions_below_an_ignored_directory_are_found_by_their_first_letters():
    found = IgnorePatterns(["*", "!dots/api/*.md", "!src/x"])
    assert found.may_take_in_below("dots")
    assert found.may_take_in_below("dots/api")
    assert found.may_take_in_below("dots/api/old")
    assert found.may_take_in_below("src")
    assert not found.may_take_in_below("dots/other")
    assert not found.may_take_in_below("node_modules")
    assert IgnorePatterns(["*", "!**/x"]).may_take_in_below("anything")


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 80 + "b",
        "**/a/" * 40 + "b",
        "**/*a/" * 40 + "b",
        "a**" * 4 + "b*" * 50,
        "?*" * 100 + "b",
    ],
)
def test_match_takes_linear_time(pattern):
    found = IgnorePatterns([pattern])
    assert not found.ignores("/".join(["a" * 200] * 20))


def test_too_many_stars_within_names_are_refused():
    with pytest.raises(DockerfileError, match="more than 4"):
        IgnorePatterns(["a**" * 6 + "b"])
