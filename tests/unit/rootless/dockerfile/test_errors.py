"""Dockerfiles that cannot be built. Messages and excerpts are those of `docker build` of Docker 28.5."""

import pytest

from rootless.dockerfile.config import apply_instruction
from rootless.dockerfile.errors import DockerfileError, excerpt, quoted
from rootless.dockerfile.expansion import Expander, expand_instruction
from rootless.dockerfile.instructions import Run
from rootless.dockerfile.scopes import mounts_of
from rootless.dockerfile.syntax.parser import parse

ON_LINE_2 = "dockerfile parse error on line 2: "


def read(text):
    """All that can be read of a text without a build."""
    for instruction in parse(text).stages[0].instructions:
        expander = Expander({})
        expanded = expand_instruction(instruction, expander)
        apply_instruction({}, expanded, cmd_is_set=False)
        if isinstance(expanded, Run):
            mounts_of(expanded, expander)


def error_of(text):
    with pytest.raises(DockerfileError) as caught:
        read(text)
    return caught.value


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        ("FOO bar", ON_LINE_2 + "unknown instruction: FOO (did you mean FROM?)"),
        ("COPPY a b", ON_LINE_2 + "unknown instruction: COPPY (did you mean COPY?)"),
        ("coppy a b", ON_LINE_2 + "unknown instruction: coppy (did you mean copy?)"),
        ("SOMETHING else", ON_LINE_2 + "unknown instruction: SOMETHING"),
        ("COPY --chwon=1 a b", ON_LINE_2 + "unknown flag: --chwon (did you mean chown?)"),
        ("COPY --chown=1 --chown=2 a b", ON_LINE_2 + "duplicate flag specified: --chown"),
        ("COPY --chown a b", ON_LINE_2 + "missing a value on flag: --chown"),
        ("COPY --link= a b", ON_LINE_2 + "missing a value on flag: --link"),
        (
            "COPY --link=maybe a b",
            ON_LINE_2 + "expecting boolean value for flag --link, not: maybe",
        ),
        (
            "COPY a",
            ON_LINE_2 + "COPY requires at least two arguments, but only one was provided. "
            "Destination could not be determined",
        ),
        ("COPY a <<EOF\nhi\nEOF", ON_LINE_2 + "COPY cannot accept a heredoc as a destination"),
        ("RUN <<EOF\nhi", "unterminated heredoc"),
        ("ARG =x", ON_LINE_2 + "ARG names can not be blank"),
        ("ENV A", "ENV must have two arguments"),
        (
            "ENV A=1 B",
            'Syntax error - can\'t find = in "B". Must be of the form: name=value',
        ),
        ("ENV A=${x:?no}", 'failed to process "${x:?no}": x: no'),
        (
            'ENV A="x',
            (
                'failed to process "\\"x": unexpected end of statement while looking for matching '
                "double-quote"
            ),
        ),
        (
            "ENV x=${a@Q}",
            'failed to process "${a@Q}": unsupported modifier (@) in substitution',
        ),
        ("LABEL =x", ON_LINE_2 + "LABEL names can not be blank"),
        ("EXPOSE 80x", "invalid containerPort: 80x"),
        ("EXPOSE 99999", "invalid containerPort: 99999"),
        ("EXPOSE 1-", "invalid containerPort: 1-"),
        ("HEALTHCHECK", ON_LINE_2 + "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK foo x", ON_LINE_2 + 'Unknown type "FOO" in HEALTHCHECK (try CMD)'),
        (
            "HEALTHCHECK --interval=1us CMD x",
            ON_LINE_2 + 'Interval "interval" cannot be less than 1ms',
        ),
        ("HEALTHCHECK --interval=x CMD x", ON_LINE_2 + 'time: invalid duration "x"'),
        (
            "HEALTHCHECK --retries=x CMD x",
            ON_LINE_2 + 'strconv.ParseInt: parsing "x": invalid syntax',
        ),
        ("HEALTHCHECK --retries=-1 CMD x", ON_LINE_2 + "--retries cannot be negative (-1)"),
        ("HEALTHCHECK NONE x", ON_LINE_2 + "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", ON_LINE_2 + "Missing command after HEALTHCHECK CMD"),
        ("CMD [1]", "when using JSON array syntax, arrays must be comprised of strings only"),
        ("MAINTAINER", ON_LINE_2 + "MAINTAINER requires exactly one argument"),
        ("USER", ON_LINE_2 + "USER requires exactly one argument"),
        ("WORKDIR", ON_LINE_2 + "WORKDIR requires exactly one argument"),
        (
            "ONBUILD ONBUILD RUN x",
            ON_LINE_2 + "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        ),
        ("ONBUILD FROM x", ON_LINE_2 + "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD", ON_LINE_2 + "ONBUILD requires at least one argument"),
        ("RUN --network=foo true", ON_LINE_2 + 'invalid network mode "foo"'),
        ("RUN --security=foo true", ON_LINE_2 + 'security "foo" is not valid'),
        (
            "RUN --mount=from=$x,target=/x true",
            ON_LINE_2 + "'from' doesn't support variable expansion, define alias stage instead",
        ),
        (
            "RUN --mount=type=bnd,target=/x true",
            'unsupported mount type "bnd" (did you mean bind?)',
        ),
        (
            "RUN --mount=trget=/x true",
            "unexpected key 'trget' in 'trget=/x' (did you mean target?)",
        ),
        ("SHELL foo", ON_LINE_2 + "SHELL requires the arguments to be in JSON form"),
        ("SHELL []", ON_LINE_2 + "SHELL requires at least one argument"),
        ("STOPSIGNAL NOPE", "invalid signal: NOPE"),
        ('VOLUME [""]', ON_LINE_2 + "VOLUME specified can not be an empty string"),
    ],
)
def test_instruction_that_makes_no_sense_is_refused_with_its_place(instruction, message):
    error = error_of(f"FROM scratch\n{instruction}\n")
    assert error.message == message
    assert (error.line, error.exit_status) == (2, 1)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("", "the Dockerfile cannot be empty", 0),
        ("# hi\n#there\n", "file with no instructions", 2),
        ("RUN x\n", "no build stage in current context", 1),
        ("ARG x=1\n", "dockerfile contains no stages to build", 0),
        (
            "FROM scratch x y",
            "dockerfile parse error on line 1: FROM requires either one or three arguments",
            1,
        ),
        (
            "FROM scratch AS 9a",
            (
                'dockerfile parse error on line 1: invalid name for build stage: "9a", name can\'t '
                "start with a number or contain symbols"
            ),
            1,
        ),
        ("# escape=x\nFROM scratch", "invalid escape token 'x' does not match ` or \\", 1),
        (
            "# syntax=a\n# syntax=b\nFROM scratch",
            "only one syntax parser directive can be used",
            2,
        ),
    ],
)
def test_dockerfile_that_has_no_meaning_is_refused(text, message, line):
    error = error_of(text)
    assert (error.message, error.line) == (message, line)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("RUN --mount=x --foo=1 true", 15),
        ("  Foo x", 3),
        ("ENV A=1 B", 9),
        ("RUN true \\\n  --foo", 0),
    ],
)
def test_column_is_that_of_the_word(text, column):
    dockerfile = f"FROM scratch\n{text}\nBAD"
    with pytest.raises(DockerfileError) as caught:
        parse(dockerfile)
    assert caught.value.column == (column or 1)


def test_excerpt_shows_the_lines_around_one():
    text = "FROM scratch\nENV a=1\nENV b=2\nENV c=3\nFOO\nENV d=4\n"
    assert excerpt(text, "Dockerfile", 5, 5) == (
        "Dockerfile:5\n"
        "--------------------\n"
        "   3 |     ENV b=2\n"
        "   4 |     ENV c=3\n"
        "   5 | >>> FOO\n"
        "   6 |     ENV d=4\n"
        "   7 |     \n"
        "--------------------"
    )


def test_excerpt_marks_every_line_of_an_instruction():
    text = "FROM scratch\nRUN a \\\n b \\\n c --x\nFOOO x \\\n y\nCMD z\n"
    assert excerpt(text, "D", 5, 6) == (
        "D:5\n"
        "--------------------\n"
        "   4 |      c --x\n"
        "   5 | >>> FOOO x \\\n"
        "   6 | >>>  y\n"
        "   7 |     CMD z\n"
        "--------------------"
    )


def test_excerpt_of_the_first_line_is_shorter():
    assert excerpt("FROM a b\n", "D", 1, 1).splitlines()[2:-1] == [
        "   1 | >>> FROM a b",
        "   2 |     ",
    ]


def test_excerpt_of_no_line_is_empty():
    assert excerpt("FROM x", "D", 0, 0) == excerpt("FROM x", "D", 9, 9) == ""


def test_text_is_quoted_as_go_does():
    assert quoted('a"\\\n\x01é\u200b') == '"a\\"\\\\\\n\\x01é\\u200b"'


def test_statement_that_cannot_be_split_comes_first():
    error = error_of("FROM scratch\nFOO x\nBAR y\nENV a\n")
    assert (error.message, error.line) == ("ENV must have two arguments", 4)
    assert error_of("FROM scratch\nFOO x\nBAR y\n").line == 2
