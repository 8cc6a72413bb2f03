"""Names of stages that variables give."""

from rootless.dockerfile.instructions import Copy
from rootless.dockerfile.scopes import global_variables
from rootless.dockerfile.stage_instructions import stage_instructions
from rootless.dockerfile.syntax.parser import parse


def sources(text: str, build_args: dict[str, str] | None = None) -> list[str]:
    """What `--from` of each COPY of the last stage names."""
    given = build_args or {}
    dockerfile = parse(text)
    variables = global_variables(dockerfile, {}, given)
    origins = [each.origin for each in dockerfile.stages]
    found = stage_instructions(dockerfile, origins, variables, given)
    return [each.from_stage for each in found[-1] if isinstance(each, Copy)]


def test_arguments_and_environment_before_the_copy_count():
    text = "ARG G=one\nFROM x\nARG G\nCOPY --from=$G a b\nENV E=two-${G}\nCOPY --from=${E} a b\n"
    assert sources(text) == ["one", "two-one"]
    assert sources(text, {"G": "given"}) == ["given", "two-given"]


def test_name_without_a_variable_stays():
    assert sources("FROM x\nCOPY --from=one a b\nCOPY --from=0 a b\n") == ["one", "0"]


def test_trigger_may_name_a_stage_by_a_variable():
    text = "FROM x AS a\nONBUILD ARG G=one\nONBUILD COPY --from=$G a b\nFROM a\n"
    assert sources(text) == ["one"]
