"""The tables and examples of docs/dockerfile.md hold."""

import re
from pathlib import Path

import pytest

from rootless.dockerfile.checks.checker import CheckContext, check
from rootless.dockerfile.checks.rules import EXPERIMENTAL
from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.expansion import Expander, expand_instruction
from rootless.dockerfile.graph import stage_graph
from rootless.dockerfile.ignore import IgnorePatterns, read_ignore_file
from rootless.dockerfile.syntax.parser import parse
from tests.support.words import expand

PAGE = (Path(__file__).parents[4] / "docs/dockerfile.md").read_text()
ARGUMENTS = {
    "COPY": "$v $v <<E /$v\n$v\nE",
    "ADD": "$v $v <<E /$v\n$v\nE",
    "ENV": "$v=$v",
    "LABEL": "$v=$v",
    "ARG": "a=b",
    "SHELL": '["$v"]',
    "HEALTHCHECK": "CMD $v",
    "ONBUILD": "RUN $v",
}
VALUES = {
    "--network=": "none",
    "--security=": "insecure",
    "--mount=": "target=/x",
    "--interval=": "5s",
    "--timeout=": "5s",
    "--start-period=": "5s",
    "--start-interval=": "5s",
    "--retries=": "3",
}


def rows(heading):
    """The cells of the first table below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def code(cell):
    return re.findall(r"`([^`]+)`", cell)


def instruction_with(name, flags):
    if name == "FROM":
        return parse(f"FROM {flags} $v").stages[0].origin
    arguments = ARGUMENTS.get(name, "$v")
    return parse(f"FROM scratch\n{name} {flags} {arguments}\n").stages[0].instructions[0]


@pytest.mark.parametrize("row", rows("Instructions"), ids=lambda row: row[0])
def test_instruction_has_the_flags_and_variables_of_its_row(row):
    (name,), flags, variables = code(row[0]), code(row[1]), row[2]
    given = " ".join(
        flag + VALUES.get(flag, "linux") if flag.endswith("=") else flag for flag in flags
    )
    instruction = instruction_with(name, given)
    if name not in {"ARG", "STOPSIGNAL"}:
        with pytest.raises(DockerfileError, match="unknown flag: --other"):
            instruction_with(name, "--other=1")
    if name in {"FROM", "RUN", "ARG"}:
        return
    expanded = expand_instruction(instruction, Expander({"v": "vee"}))
    # The text of the instruction stays as it is written.
    shown = str(expanded._replace(source=instruction.source._replace(text="")))
    assert ("$v" in shown) is variables.startswith("none")
    assert ("vee" in shown) is not variables.startswith("none")


def test_every_instruction_has_a_row():
    names = [code(row[0])[0] for row in rows("Instructions")]
    assert len(set(names)) == 18
    for name in names:
        with pytest.raises(DockerfileError) as caught:
            parse(f"FROM scratch\n{name}X")
        assert f"(did you mean {name}?)" in caught.value.message


@pytest.mark.parametrize("row", rows("Variables"), ids=lambda row: row[0])
def test_form_has_the_values_of_its_row(row):
    (form,), *outcomes = [code(row[0]), *row[1:]]
    for variables, outcome in zip(({"v": "value"}, {"v": ""}, {}), outcomes, strict=True):
        if outcome == "error":
            with pytest.raises(DockerfileError, match="word"):
                expand(form, variables)
        else:
            assert expand(form, variables) == "".join(code(outcome))


@pytest.mark.parametrize("row", rows("Errors"), ids=lambda row: row[0])
def test_dockerfile_has_the_message_of_its_row(row):
    (text,), (message,) = code(row[0]), code(row[1])
    with pytest.raises(DockerfileError) as caught:
        read(f"FROM scratch\n{text}")
    assert caught.value.message == message


def read(text):
    stages = parse(text).stages
    stage_graph([each.origin for each in stages], [each.instructions for each in stages])


@pytest.mark.parametrize("row", rows(".dockerignore"), ids=lambda row: row[0])
def test_pattern_matches_the_paths_of_its_row(row):
    (pattern,), left_out, kept = (code(cell) for cell in row)
    patterns = IgnorePatterns(read_ignore_file(pattern))
    assert [path for path in left_out + kept if patterns.ignores(path)] == left_out


def test_every_rule_has_a_row():
    cases = Path(__file__).with_name("checks").joinpath("check_cases.txt").read_text()
    found = set(re.findall(r"^\d+ (\w+): ", cases, re.MULTILINE))
    documented = {code(row[0])[0]: "(experimental)" in row[1] for row in rows("Checks")}
    assert documented.keys() == found | EXPERIMENTAL
    assert {name for name, experimental in documented.items() if experimental} == EXPERIMENTAL


@pytest.mark.parametrize("text", re.findall(r"```dockerfile\n(.*?)```", PAGE, re.DOTALL))
def test_example_has_no_findings(text):
    checked = check(text, CheckContext())
    assert (checked.findings, checked.error) == ((), None)
