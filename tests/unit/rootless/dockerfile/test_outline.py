"""What `build --call=targets` and `--call=outline` show; the tables are Docker 28.5's of the same Dockerfiles."""

from __future__ import annotations

import pytest

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.outline import (
    OutlineContext,
    outline,
    outline_document,
    outline_text,
    targets,
    targets_document,
    targets_text,
)
from rootless.dockerfile.syntax.parser import parse

TOOLS = """\
# VERSION which version
ARG VERSION=1.2
ARG UNUSED=3
ARG BASE
# the tool that compiles
FROM scratch AS Compiler
# FLAGS flags of the compiler
ARG FLAGS="-O2 $VERSION"
ARG VERSION
ARG NOVALUE
RUN --mount=type=secret,id=token --mount=type=ssh echo $FLAGS
# test runs tests
FROM --platform=linux/amd64 compiler AS test
ARG TESTARG=a
RUN --mount=type=secret,id=other,required=true --mount=type=ssh,id=key,required true
FROM busybox:$VERSION
# DEST destination
ARG DEST=/x
ARG A=1 B=2
COPY --from=compiler /x $DEST
FROM test AS release
# a comment

# release the release
FROM scratch AS release2
ARG OTHER=5
ENV X=$OTHER
COPY --from=test / /
"""

ARGUMENTS = """\
ARG G=1
ARG H=2
ARG I=$H
ARG J=5
FROM scratch AS a
ARG G
# X bla
# blub
ARG X=3 Y=$G
ARG Z=4
ARG TARGETARCH
ARG I
COPY . ${Z}
# second two
FROM a AS second
ARG Z=7
ENV Q=$Y T=$TARGETARCH U=$HTTP_PROXY
FROM second
COPY --from=second / /
"""


def shown(text: str, **context) -> list[list[str]]:
    """The lines of an outline, split at blanks."""
    found = outline_text(outline(parse(text), OutlineContext(**context)))
    return [line.split() for line in found.splitlines()]


def test_targets_are_the_stages_with_their_descriptions():
    assert targets_text(targets(parse(TOOLS))) == (
        "TARGET             DESCRIPTION\n"
        "compiler           \n"
        "test               runs tests\n"
        "                   \n"
        "release            \n"
        "release2 (default) \n"
    )


def test_a_default_target_may_have_no_name():
    assert targets_text(targets(parse("FROM scratch AS a\nFROM scratch\n"))) == (
        "TARGET    DESCRIPTION\na         \n(default) \n"
    )


def test_targets_in_json_have_base_platform_and_location():
    found = targets_document(targets(parse(TOOLS)))["targets"]
    assert found[1] == {
        "name": "test",
        "description": "runs tests",
        "base": "compiler",
        "platform": "linux/amd64",
        "location": {"ranges": [{"start": {"line": 13}, "end": {"line": 13}}]},
    }
    assert "name" not in found[2]
    assert found[2]["base"] == "busybox:$VERSION"
    assert [each.get("default") for each in found] == [None, None, None, None, True]


def test_an_outline_has_what_the_needed_stages_take():
    assert outline_text(outline(parse(TOOLS), OutlineContext())) == (
        "TARGET: release2\n"
        "\n"
        "BUILD ARG   VALUE   DESCRIPTION\n"
        "VERSION     1.2     which version\n"
        "FLAGS       -O2     flags of the compiler\n"
        "NOVALUE             \n"
        "TESTARG     a       \n"
        "OTHER       5       \n"
        "\n"
        "SECRET   REQUIRED\n"
        "token    \n"
        "other    true\n"
        "\n"
        "SSH       REQUIRED\n"
        "default   \n"
        "key       true\n"
        "\n"
    )


def test_an_outline_in_json_leaves_out_what_is_empty():
    found = outline_document(outline(parse(TOOLS), OutlineContext(target="test")))
    assert (found["name"], found["description"]) == ("test", "runs tests")
    assert found["args"][2] == {
        "name": "NOVALUE",
        "location": {"ranges": [{"start": {"line": 10}, "end": {"line": 10}}]},
    }
    assert [each.get("required") for each in found["secrets"]] == [None, True]
    text = "ARG J=5\nFROM scratch\nCOPY . .\n"
    assert outline_document(outline(parse(text), OutlineContext())) == {}
    assert outline_text(outline(parse(text), OutlineContext())) == ""


def test_arguments_come_with_those_that_their_defaults_use():
    platform = {"TARGETARCH": "amd64"}
    title = ["BUILD", "ARG", "VALUE", "DESCRIPTION"]
    above = [["G", "1"], ["H", "2"], ["I", "2"], ["X", "3", "bla"], ["Y", "1"]]
    assert shown(ARGUMENTS, platform=platform) == [title, *above, ["Z", "7"], []]
    name = ["TARGET:", "a"]
    assert shown(ARGUMENTS, platform=platform, target="a") == [
        *(name, [], title),
        *above,
        *(["Z", "4"], []),
    ]


def test_arguments_that_are_given_count_where_the_stage_declares_them():
    given = {"X": "9", "G": "8", "I": "7"}
    platform = {"TARGETARCH": "amd64"}
    found = shown(ARGUMENTS, platform=platform, target="second", build_args=given)
    assert found[4:] == [["G", "8"], ["X", "9", "bla"], ["Y", "8"], ["I", "7"], ["Z", "7"], []]


def test_arguments_of_from_are_taken():
    text = "ARG N=b\nARG V=1$N\nARG W=2\nFROM busybox:$V\n"
    assert shown(text)[1:] == [["N", "b"], ["V", "1b"], []]


def test_of_a_secret_that_is_used_twice_the_first_use_counts():
    text = (
        "FROM scratch\nRUN --mount=type=secret,target=/x "
        "--mount=type=secret,id=x,required=true true\n"
    )
    assert shown(text) == [["SECRET", "REQUIRED"], ["x"], []]


def test_a_target_must_exist():
    with pytest.raises(DockerfileError, match='target stage "nope" could not be found'):
        outline(parse(TOOLS), OutlineContext(target="nope"))
