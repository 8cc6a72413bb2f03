"""Dockerfiles as statements. The situations are those of BuildKit's own parser cases, and the outcomes are BuildKit's."""

import pytest

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.instructions import Heredoc
from rootless.dockerfile.syntax.parser import parse
from rootless.dockerfile.syntax.statements import split_statements


def only(text):
    (statement,) = split_statements(text).statements
    return statement


def texts(text):
    return [each.text for each in split_statements(text).statements]


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("RUN one\\\n  two\\\n  three  \\\n  four\\\nfive", ["RUN one  two  three    fourfive"]),
        ("RUN one  \\\n  two", ["RUN one    two"]),
        ("RUN one \\\ntwo\\\nthree", ["RUN one twothree"]),
        ("RUN one  \\  \ntwo", ["RUN one  two"]),
        ("RUN a \\\n \\\n b \\\n\\\n c\\\n\\\nd", ["RUN a   b  cd"]),
        ("RUN a \\\n\n\nb", ["RUN a b"]),
        ("RUN a \\\n# between\n  # indented\nb", ["RUN a b"]),
        ("RUN a \\\n", ["RUN a "]),
        ("RUN a \\", ["RUN a "]),
        ("RUN a \\\\\nENV b=1", ["RUN a \\\\", "ENV b=1"]),
        ("RUN a \\ b\nRUN c", ["RUN a \\ b", "RUN c"]),
        ("\\\nRUN a", ["RUN a"]),
        ("# one\n\n  # two\n   RUN a\n\n\t\nRUN b", ["RUN a", "RUN b"]),
        ("RUN a # no comment", ["RUN a # no comment"]),
        ("\ufeffRUN a\r\nRUN b \\\r\n c\r\n", ["RUN a", "RUN b  c"]),
        ("RUN a\\\r\n# c\r\n\r\nb\r\n", ["RUN ab"]),
        ("RUN a\vb\fc\u2028d", ["RUN a\vb\fc\u2028d"]),
    ],
)
def test_lines_are_joined(text, joined):
    assert texts(text) == joined


@pytest.mark.parametrize(
    ("text", "directives", "escape"),
    [
        ("# escape=`\nRUN a `\n b", {"escape": "`"}, "`"),
        ("#escape = `  \nRUN a `\n b", {"escape": "`"}, "`"),
        ("# Escape=\\\nRUN a \\\n b", {"escape": "\\"}, "\\"),
        (
            "# syntax=a b\n# escape=`\n# check=skip=all\nRUN a `\n b",
            {"syntax": "a b", "escape": "`", "check": "skip=all"},
            "`",
        ),
        ("  # escape=`\nRUN a `\n b", {"escape": "`"}, "`"),
        ("# comment\n# escape=`\nRUN a \\\n b", {}, "\\"),
        ("\n# escape=`\nRUN a \\\n b", {}, "\\"),
        ("# unknown=x\n# escape=`\nRUN a \\\n b", {}, "\\"),
        ("RUN a \\\n# escape=`\n b", {}, "\\"),
    ],
)
def test_directives_come_first(text, directives, escape):
    found = split_statements(text)
    assert {each.name: each.value for each in found.directives} == directives
    assert found.escape == escape
    assert [each.text for each in found.statements] == ["RUN a  b"]


@pytest.mark.parametrize(
    ("text", "flags", "arguments"),
    [
        ("COPY a b", (), "a b"),
        ("COPY --user=me a b", ("--user=me",), "a b"),
        ("COPY --one --two=2   a b", ("--one", "--two=2"), "a b"),
        ("COPY --one -- --a b", ("--one",), "--a b"),
        ("COPY -- a", (), "a"),
        ("COPY --", (), ""),
        ("COPY --one", ("--one",), ""),
        ("CMD --one=true -- [ ]", ("--one=true",), "[ ]"),
        ("COPY --a='x y' --b=\"p q\"r a", ("--a=x y", "--b=p qr"), "a"),
        ("COPY --a=x\\ y\\\\ --b=\\' a", ("--a=x y\\", "--b='"), "a"),
        ("COPY --a='x", ("--a=x",), ""),
        ("COPY --a=x\\", ("--a=x",), ""),
        ("COPY -a b", (), "-a b"),
        ("COPY\t--one\t\ta", ("--one",), "a"),
        ("COPY --ü=ö a", ("--ü=ö",), "a"),
    ],
)
def test_flags_come_before_the_arguments(text, flags, arguments):
    statement = only(text)
    assert (statement.flags, statement.arguments) == (flags, arguments)


def test_lines_are_counted_from_the_first_to_the_last_of_a_statement():
    text = "# c\n\nRUN a \\\n\n # d\n b\nRUN <<E\nx\nE\n\nRUN c"
    found = split_statements(text)
    assert [(each.first_line, each.last_line) for each in found.statements] == [
        (3, 6),
        (7, 9),
        (11, 11),
    ]
    assert [(each.text, each.line) for each in found.empty_continuations] == [("RUN a  b", 6)]


def test_comments_above_a_statement_belong_to_it():
    text = "# one\n# two\nRUN a\n# three\n#\n# four\n\nRUN b\nRUN c"
    found = split_statements(text).statements
    assert [each.comments for each in found] == [("one", "two"), ("four",), ()]


HEREDOCS = [
    ("RUN <<E\nE", [("E", "", True, False, 0)]),
    ("RUN 3<<E\nE", [("E", "", True, False, 3)]),
    ("RUN <<E\n\ta\n\tb\nE", [("E", "\ta\n\tb\n", True, False, 0)]),
    ("RUN <<-E\n\ta\n\tb\n\t\tE", [("E", "\ta\n\tb\n", True, True, 0)]),
    ("RUN <<-'E'\n\t$a\nE", [("E", "\t$a\n", False, True, 0)]),
    ("RUN <<E\n# no comment\na \\\nb\n\nE", [("E", "# no comment\na \\\nb\n\n", True, False, 0)]),
    ("RUN --mount=type=tmpfs,target=/x <<E\na\nE", [("E", "a\n", True, False, 0)]),
    ("COPY <<A <<B /d\na\nA\nb\nB", [("A", "a\n", True, False, 0), ("B", "b\n", True, False, 0)]),
    ("COPY <<A <<B /d\nB\nA\nA\nB", [("A", "B\n", True, False, 0), ("B", "A\n", True, False, 0)]),
    ("RUN <<E python3\nprint('a')\nE", [("E", "print('a')\n", True, False, 0)]),
    ("ADD <<file.txt /d\na\nfile.txt", [("file.txt", "a\n", True, False, 0)]),
    ("RUN <<e'o'f\na\neof", [("eof", "a\n", False, False, 0)]),
    ("RUN <<eo\\'f\na\neo'f", [("eo'f", "a\n", True, False, 0)]),
    ("RUN <<'e'o\\'f\na\neo'f", [("eo'f", "a\n", False, False, 0)]),
    ("RUN <<'a b'\nx\na b", [("a b", "x\n", False, False, 0)]),
    ("RUN <<$E\n$E", [("$E", "", True, False, 0)]),
    ("RUN <<  E  > f\na\nE", [("E", "a\n", True, False, 0)]),
    ("RUN cat <<E | tee\na\nE", [("E", "a\n", True, False, 0)]),
    ("ONBUILD RUN <<E\na\nE", [("E", "a\n", True, False, 0)]),
    ("RUN <<E \\\n  && b\na\nE", [("E", "a\n", True, False, 0)]),
    ("RUN <<E\r\na\r\nE\r\n", [("E", "a\r\n", True, False, 0)]),
    ("RUN <<E\nE \n E\nE", [("E", "E \n E\n", True, False, 0)]),
]


@pytest.mark.parametrize(("text", "heredocs"), HEREDOCS)
def test_here_documents_are_taken_from_the_lines_that_follow(text, heredocs):
    assert only(text).heredocs == tuple(Heredoc(*each) for each in heredocs)


@pytest.mark.parametrize(
    "text",
    [
        'RUN "<<E"',
        'RUN ["<<E"]',
        "USER <<E",
        "ENV a=<<E",
        "CMD <<E",
        "RUN a <<<b",
        "RUN a <<",
        "RUN a << ''",
        "RUN a \\<<E",
        "RUN 'unclosed <<E",
        "HEALTHCHECK CMD <<E",
        "ONBUILD ENV a=<<E",
    ],
)
def test_words_that_look_like_here_documents_are_none(text):
    assert only(text).heredocs == ()


def test_here_document_without_end_is_refused_with_its_lines():
    with pytest.raises(DockerfileError, match="unterminated heredoc") as caught:
        split_statements("RUN a\nRUN <<E\nx\ny")
    assert (caught.value.line, caught.value.last_line) == (2, 4)


@pytest.mark.parametrize(
    ("arguments", "words", "is_exec_form"),
    [
        ("[]", (), True),
        ('[""]', ("",), True),
        ('["a"]', ("a",), True),
        ('[ "a", "b" ]', ("a", "b"), True),
        ('[\t"a",\t"b"\t]\t', ("a", "b"), True),
        (
            '["a b", "♥", "\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u0041"]',
            ("a b", "♥", '" \\ / \b \f \n \r \t A'),
            True,
        ),
        ('["\\ud83d\\ude00", "\\ud800"]', ("😀", "\ufffd"), True),
        ("['a', 'b']", ("['a', 'b']",), False),
        ('["a", "b"', ('["a", "b"',), False),
        ('["a", "b]', ('["a", "b]',), False),
        ('["a"] b', ('["a"] b',), False),
        ('"[\\"a\\"]"', ('"[\\"a\\"]"',), False),
        ("a 'b  c' | d", ("a 'b  c' | d",), False),
        ("", (), False),
        ("[" * 5000, ("[" * 5000,), False),
    ],
)
def test_exec_form_is_a_json_array_of_strings(arguments, words, is_exec_form):
    (cmd,) = parse(f"FROM scratch\nCMD {arguments}").stages[0].instructions
    assert (cmd.command.words, cmd.command.is_exec_form) == (words, is_exec_form)


@pytest.mark.parametrize("arguments", ["[1]", '["a", null]', '[["a"]]', '["a", {"b": 1}]'])
def test_exec_form_of_other_values_is_refused(arguments):
    with pytest.raises(DockerfileError, match="arrays must be comprised of strings only"):
        parse(f"FROM scratch\nCMD {arguments}")


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("name value", [("name", "value")]),
        ("name=value", [("name", "value")]),
        ("name=value name2=value2", [("name", "value"), ("name2", "value2")]),
        ('name="value value1"', [("name", '"value value1"')]),
        ("name=value\\ value2", [("name", "value\\ value2")]),
        ("name=\"value'quote space'value2\"", [("name", "\"value'quote space'value2\"")]),
        ("name='a\\'b'", [("name", "'a\\'b'")]),
        ("a=b\\ c d=e\\ f", [("a", "b\\ c"), ("d", "e\\ f")]),
        ('name="a\\"b"', [("name", '"a\\"b"')]),
        ('a=1 \\\n    b=2 \\\n c="3 \\\n 4"', [("a", "1"), ("b", "2"), ("c", '"3  4"')]),
        ("a=", [("a", "")]),
        ("a==b", [("a", "=b")]),
        ('"a b"=c', [('"a b"', "c")]),
        ("a b=c d", [("a", "b=c d")]),
        ("A 1 B 3", [("A", "1 B 3")]),
        ("PATH\t/x:$PATH", [("PATH", "/x:$PATH")]),
    ],
)
def test_pairs_are_as_written(text, pairs):
    (env,) = parse(f"FROM scratch\nENV {text}").stages[0].instructions
    assert [(each.name, each.value) for each in env.pairs] == pairs


def test_very_long_lines_and_many_lines_are_read():
    command = " \\\n".join(["  echo x"] * 10_000)
    text = f"FROM scratch\nRUN {command}\nENV a={'b' * 200_000}\n" + "LABEL a=b\n" * 200
    run, env, *labels = parse(text).stages[0].instructions
    assert run.source.last_line == 10_001
    assert len(env.pairs[0].value) == 200_000
    assert len(labels) == 200
