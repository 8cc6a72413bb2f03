"""Checks of Dockerfiles. The findings are those of `docker build --check` of Docker 28.5."""

from pathlib import Path

import pytest

from rootless.dockerfile.checks.checker import CheckContext, check
from rootless.dockerfile.checks.rules import CheckSettings, check_settings, document, report
from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.ignore import IgnorePatterns
from rootless.dockerfile.scopes import BuildPlatform, platform_arguments

AMD64 = BuildPlatform("linux", "amd64")
CONTEXT = CheckContext(platform=platform_arguments(AMD64, AMD64, ""))


def rules_of(text, context=CONTEXT):
    return [(each.rule, each.first_line) for each in check(text, context).findings]


def cases():
    """The Dockerfiles of check_cases.txt, with what was found in each."""
    _, *parts = Path(__file__).with_name("check_cases.txt").read_text().split("===\n")
    return [tuple(part.split("---\n")) for part in parts]


@pytest.mark.parametrize(("text", "expected"), cases())
def test_dockerfile_has_findings(text, expected):
    checked = check(text, CONTEXT)
    found = [f"{each.first_line} {each.rule}: {each.message}" for each in checked.findings]
    if checked.error is not None:
        found.append(f"error: {checked.error.message}")
    assert found == expected.splitlines()


def test_cases_break_every_rule_that_needs_no_files():
    found = {line.split(" ")[1] for _, expected in cases() for line in expected.splitlines()}
    rules = {name.removesuffix(":") for name in found if name[0].isupper() and name.endswith(":")}
    assert len(rules) == 20


@pytest.mark.parametrize(
    ("patterns", "text", "found"),
    [
        (["a", "*.md"], "COPY a /x\nCOPY b /y\nADD ./d/../a /z\nADD http://x/a /", [3, 5]),
        (["a"], "COPY . /y\nCOPY --from=0 a /", []),
        (["*"], "COPY . /y\nCOPY x y", [3, 4]),
        (["*", "!b"], "COPY . /y\nCOPY a /x", []),
    ],
)
def test_source_that_is_ignored_is_found_if_the_dockerfile_asks(patterns, text, found):
    dockerfile = f"# check=experimental=CopyIgnoredFile\nFROM scratch\n{text}\n"
    context = CONTEXT._replace(ignore=IgnorePatterns(patterns))
    dockerfile = dockerfile.replace("--from=0", "--from=busybox")
    assert rules_of(dockerfile, context) == [("CopyIgnoredFile", line) for line in found]
    assert rules_of(dockerfile.partition("\n")[2], context) == []


def test_message_names_the_ignored_source():
    text = "# check=experimental=all\nFROM scratch\nADD ./d/../a /z\n"
    (finding,) = check(text, CONTEXT._replace(ignore=IgnorePatterns(["a"]))).findings
    assert finding.message == 'Attempting to Add file "a" that is excluded by .dockerignore'


def test_variables_and_shell_of_the_base_image_count():
    text = "FROM image\nENV a=$BASE\nCMD x\nFROM other\nENV a=$BASE\n"
    config = {"Env": ["BASE=1"], "Shell": ["/bin/bash", "-c"]}
    context = CONTEXT._replace(base_configs={0: config})
    assert rules_of(text, context) == [("UndefinedVar", 5)]


def test_only_the_stages_of_a_build_are_checked():
    text = "FROM scratch\nCMD x\nFROM scratch\nCMD y\n"
    assert rules_of(text, CONTEXT._replace(stages=[1])) == [("JSONArgsRecommended", 4)]


def test_target_is_checked_with_what_it_needs():
    text = "FROM scratch AS a\nCMD x\nFROM scratch AS b\nCMD y\nFROM a AS c\nCMD z\n"
    assert [line for _, line in rules_of(text, CONTEXT._replace(target="C"))] == [2, 6]
    assert [line for _, line in rules_of(text)] == [2, 4, 6]


def test_build_arguments_count():
    text = "ARG IMAGE\nFROM $IMAGE\nARG a=$b\n"
    context = CONTEXT._replace(build_args={"IMAGE": "scratch", "a": "1"})
    assert rules_of(text, context) == [("InvalidDefaultArgInFrom", 2)]
    replaced = {"IMAGE": "scratch", "a": "1", "BUILDKIT_DOCKERFILE_CHECK": "skip=all"}
    assert rules_of(text, CONTEXT._replace(build_args=replaced)) == []


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", CheckSettings()),
        ("skip=all", CheckSettings(skips_all=True)),
        ("skip=A,B;error=true", CheckSettings(skipped=frozenset("AB"), fails=True)),
        ("error=0;experimental=all", CheckSettings(experimental_all=True)),
        ("experimental=A", CheckSettings(experimental=frozenset("A"))),
        ("skip=A, B", CheckSettings(skipped=frozenset(("A", "")))),
    ],
)
def test_settings_are_read(text, settings):
    assert check_settings(text) == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo=bar", 'failed to parse check options: invalid check option "foo"'),
        ("skip", 'failed to parse check options: invalid check option "skip"'),
        (
            "skip=all;error=maybe",
            (
                'failed to parse check options: failed to parse check option "error=maybe": '
                'strconv.ParseBool: parsing "maybe": invalid syntax'
            ),
        ),
    ],
)
def test_settings_without_meaning_are_refused(text, message):
    with pytest.raises(DockerfileError) as caught:
        check_settings(text)
    assert caught.value.message == message
    assert check(f"# check={text}\nFROM scratch\n", CONTEXT).error.message == message


def test_report_shows_the_findings_in_the_order_of_lines():
    text = "FROM scratch AS Zed\nCMD a\nMAINTAINER b\n"
    checked = check(text, CONTEXT)
    assert report(checked.findings, text, "Dockerfile", is_whole=True) == (
        "Check complete, 3 warnings have been found!\n"
        "\n"
        "WARNING: StageNameCasing - "
        "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/\n"
        "Stage name 'Zed' should be lowercase\n"
        "Dockerfile:1\n"
        "--------------------\n"
        "   1 | >>> FROM scratch AS Zed\n"
        "   2 |     CMD a\n"
        "   3 |     MAINTAINER b\n"
        "--------------------\n"
        "\n"
        "WARNING: JSONArgsRecommended - "
        "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/\n"
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals\n"
        "Dockerfile:2\n"
        "--------------------\n"
        "   1 |     FROM scratch AS Zed\n"
        "   2 | >>> CMD a\n"
        "   3 |     MAINTAINER b\n"
        "   4 |     \n"
        "--------------------\n"
        "\n"
        "WARNING: MaintainerDeprecated - "
        "https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/\n"
        "Maintainer instruction is deprecated in favor of using label\n"
        "Dockerfile:3\n"
        "--------------------\n"
        "   1 |     FROM scratch AS Zed\n"
        "   2 |     CMD a\n"
        "   3 | >>> MAINTAINER b\n"
        "   4 |     \n"
        "--------------------\n"
    )


def test_report_of_nothing_says_so():
    text = "FROM scratch\n"
    assert report((), text, "D", is_whole=True) == "Check complete, no warnings found.\n"
    assert report((), text, "D", is_whole=False) == ""


def test_finding_is_one_line_while_an_image_is_built():
    (finding,) = check("FROM scratch AS Zed\n", CONTEXT).findings
    assert finding.short == "StageNameCasing: Stage name 'Zed' should be lowercase (line 1)"


@pytest.mark.parametrize(("text", "expected"), cases())
def test_every_finding_has_a_description(text, expected):
    checked = check(text, CONTEXT)
    for each in document(checked.findings, checked.error)["warnings"] or ():
        assert each["description"]
