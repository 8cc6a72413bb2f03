"""From what was typed to a Dockerfile."""

from __future__ import annotations

import pytest

from rootless.dockerfile.syntax.parser import parse
from rootless.recording.dockerfile import Beginning, dockerfile_of, instructions_of
from rootless.recording.log import Typed

START = Typed(None, "/", "0022", "", {}, {"PATH": "/bin"})


def session(*steps):
    """Commands, each a text or a text with the fields of the state after it."""
    typed = [START]
    for step in steps:
        text, changes = step if isinstance(step, tuple) else (step, {})
        status = changes.pop("status", 0)
        typed.append(typed[-1]._replace(status=status, text=text, **changes))
    return instructions_of(typed)


def test_a_command_becomes_a_run():
    assert session("echo a > b") == ["RUN echo a > b"]


def test_a_directory_a_variable_and_an_export_become_instructions():
    assert session(
        ("cd /app", {"directory": "/app"}),
        ("export a=1", {"environment": {"PATH": "/bin", "a": "1"}}),
        ("b=2", {"variables": {"b": "2"}}),
        ("mkdir x && cd x", {"directory": "/app/x"}),
    ) == [
        "WORKDIR /app",
        'ENV a="1"',
        'ARG b="2"',
        "RUN mkdir x && cd x",
        "WORKDIR /app/x",
    ]


def test_an_assignment_that_executes_a_command_is_a_run_too():
    assert session(("b=$(make)", {"variables": {"b": "2"}})) == ["RUN b=$(make)", 'ARG b="2"']


def test_a_failed_command_is_a_comment_but_what_it_changed_of_the_shell_stays():
    assert session(("cd /x; false", {"status": 1, "directory": "/x"})) == [
        "# exit status 1: cd /x; false",
        "WORKDIR /x",
    ]


@pytest.mark.parametrize("text", ["for i in 1; do\ntrue\ndone", "cat <<E\nx\nE", '["a"]', "--x"])
def test_what_would_mean_something_else_on_the_line_of_a_run_is_a_here_document(text):
    lines = session(text)
    assert lines == ["RUN <<'TYPED'", *text.split("\n"), "TYPED"]
    (run,) = parse("FROM scratch\n" + "\n".join(lines) + "\n").stages[0].instructions
    assert run.command.heredocs[0].text == text + "\n"


def test_the_end_of_a_here_document_is_no_line_of_it():
    assert session("cat <<TYPED\nTYPED")[0] == "RUN <<'TYPED_'"


def test_umask_and_unset_are_repeated():
    assert session(
        ("umask 077", {"umask": "0077"}), ("unset PATH", {"environment": {}}), "touch a"
    ) == ["RUN <<'TYPED'", "umask 0077", "unset PATH", "touch a", "TYPED"]


@pytest.mark.parametrize("text", ["", " ", "# a comment", "exit"])
def test_what_does_nothing_is_left_out(text):
    assert session(text) == []


def test_the_beginning_has_what_the_container_was_given():
    text = dockerfile_of(
        Beginning("base:1", "1:2", "/w", (("a", 'x"$y'),)), [START._replace(is_bash=True)]
    )
    assert text == (
        'FROM base:1\nSHELL ["/bin/bash", "-c"]\nWORKDIR /w\nENV a="x\\"\\$y"\nUSER 1:2\n'
    )
