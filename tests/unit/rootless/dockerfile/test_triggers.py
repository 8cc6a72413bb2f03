"""ONBUILD of a stage in the stages that start from it."""

import pytest

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.syntax.parser import parse
from rootless.dockerfile.triggers import with_triggers


def texts(dockerfile: str, contexts: tuple[str, ...] = ()) -> list[list[str]]:
    stages = parse(dockerfile).stages
    found = with_triggers(
        [each.origin for each in stages], [each.instructions for each in stages], contexts
    )
    return [[each.source.text for each in instructions] for instructions in found]


def test_triggers_come_first_and_hold_once():
    dockerfile = (
        "FROM x AS a\nONBUILD RUN one\nENV A=1\nONBUILD COPY b c\nFROM a AS b\nENV B=1\nFROM b\n"
    )
    assert texts(dockerfile) == [
        ["ONBUILD RUN one", "ENV A=1", "ONBUILD COPY b c"],
        ["RUN one", "COPY b c", "ENV B=1"],
        [],
    ]


def test_stage_that_a_context_replaces_has_no_triggers():
    assert texts("FROM x AS a\nONBUILD RUN one\nFROM a\n", ("a",))[1] == []


def test_last_stage_of_a_name_counts():
    dockerfile = "FROM x AS a\nONBUILD RUN one\nFROM x AS a\nONBUILD RUN two\nFROM a\n"
    assert texts(dockerfile)[2] == ["RUN two"]


def test_trigger_that_is_none_has_the_place_of_from():
    with pytest.raises(DockerfileError) as raised:
        texts("FROM x AS a\nONBUILD NOSUCH x\nFROM a\n")
    assert raised.value.line == 3
