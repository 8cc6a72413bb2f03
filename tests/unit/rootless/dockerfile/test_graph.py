"""Which stages a target needs. Every outcome here is one that `docker build` of Docker 28.5 gave."""

import pytest

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.graph import stage_graph
from rootless.dockerfile.syntax.parser import parse


def graph_of(text, target="", contexts=()):
    stages = parse(text).stages
    origins = [each.origin for each in stages]
    return stage_graph(origins, [each.instructions for each in stages], target, contexts)


BUILD = (
    "FROM debian AS base\nFROM base AS one\nCOPY --from=image /x /x\n"
    "FROM scratch AS unused\nFROM base AS Two\nCOPY --from=one /a /\n"
    "FROM scratch\nCOPY --from=TWO /a /\nCOPY --from=1 /b /\nRUN --mount=from=two,target=/m true\n"
)


def test_target_needs_what_it_starts_from_and_copies_from():
    graph = graph_of(BUILD)
    assert (graph.target, graph.needed) == (4, (0, 1, 3, 4))
    assert [node.base for node in graph.nodes] == [None, 0, None, 0, None]
    assert graph.nodes[4].needs == (3, 1)
    assert [(each.name, each.stage) for each in graph.nodes[1].inputs] == [("image", None)]


def test_other_target_needs_less():
    assert graph_of(BUILD, "ONE").needed == (0, 1)


def test_named_context_replaces_a_stage_or_an_image():
    graph = graph_of(BUILD, contexts=["two"])
    assert graph.needed == (0, 1, 3, 4)
    assert graph.nodes[3].is_replaced
    assert graph.nodes[3].needs == ()
    assert graph_of(BUILD, "one", contexts=["base"]).needed == (1,)


def test_last_stage_of_a_name_counts_for_copy():
    text = "FROM scratch AS one\nFROM scratch AS one\nFROM scratch\nCOPY --from=one /q /\n"
    assert graph_of(text).needed == (1, 2)


def test_stage_that_is_not_needed_may_copy_from_a_later_one():
    assert graph_of("FROM scratch\nCOPY --from=1 x y\nFROM scratch\n").needed == (1,)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("FROM scratch\nCOPY --from=5 a /b", "invalid stage index 5", 2),
        ("FROM scratch\nCOPY --from=-1 a /b", "invalid stage index -1", 2),
        (
            "FROM scratch AS me\nCOPY --from=me a /b",
            "circular dependency detected on stage: me",
            2,
        ),
        (
            "FROM scratch AS me\nRUN --mount=from=me,target=/x true",
            "circular dependency detected on stage: me",
            2,
        ),
        (
            "FROM a AS b\nFROM b AS a\nCOPY --from=c x /\nFROM scratch AS c\nCOPY --from=a x /",
            "circular dependency detected on stage: a",
            5,
        ),
        (
            "FROM scratch AS one\nCOPY --from=two /x /y\nFROM one AS two\n",
            'cannot copy from stage "two", it needs to be defined before current stage "one"',
            2,
        ),
        (
            "FROM scratch AS one\nRUN --mount=from=two,target=/x true\nFROM one AS two\n",
            (
                'cannot mount from stage "two" to "/x", stage needs to be defined before current '
                "command"
            ),
            2,
        ),
        (
            "ARG s=me\nFROM scratch AS me\nFROM scratch\nCOPY --from=$s a /b",
            (
                "variable expansion is not supported for --from, define a new stage with FROM using "
                "ARG from global scope as a workaround"
            ),
            4,
        ),
    ],
)
def test_stage_that_cannot_be_had_is_refused(text, message, line):
    with pytest.raises(DockerfileError) as caught:
        graph_of(text)
    assert (caught.value.message, caught.value.line) == (message, line)


def test_target_that_does_not_exist_is_refused_with_the_nearest_name():
    with pytest.raises(DockerfileError) as caught:
        graph_of("FROM scratch AS one\nFROM scratch AS two\n", "oe")
    assert caught.value.message == 'target stage "oe" could not be found (did you mean one?)'


def test_chain_of_stages_takes_linear_time():
    text = "FROM scratch AS s0\n" + "".join(
        f"FROM scratch AS s{number}\nCOPY --from=s{number - 1} a b\nCOPY --from=s{number // 2} a c\n"
        for number in range(1, 2000)
    )
    assert len(graph_of(text).needed) == 2000
