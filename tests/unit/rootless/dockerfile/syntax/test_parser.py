"""Dockerfiles as typed instructions. Every outcome here is one that BuildKit of Docker 28.5 gave."""

import pytest

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.instructions import (
    Arg,
    ArgDefinition,
    Copy,
    Env,
    Heredoc,
    MountFlag,
    Pair,
    Run,
)
from rootless.dockerfile.syntax.parser import parse


def only(text):
    """The one instruction after FROM."""
    (instruction,) = parse(f"FROM scratch\n{text}").stages[0].instructions
    return instruction


def test_dockerfile_has_directives_arguments_and_stages():
    dockerfile = parse(
        "# syntax=docker/dockerfile:1\n# Escape = `\nARG base=debian:12\n"
        "FROM --platform=$BUILDPLATFORM ${base} AS Build\nRUN one `\n  two\n\nFROM build\nCMD x\n"
    )
    assert [(each.name, each.value) for each in dockerfile.directives] == [
        ("syntax", "docker/dockerfile:1"),
        ("escape", "`"),
    ]
    assert dockerfile.args[0].definitions == (ArgDefinition("base", "debian:12"),)
    build, last = dockerfile.stages
    assert (build.origin.image, build.origin.platform) == ("${base}", "$BUILDPLATFORM")
    assert (build.origin.name, build.origin.name_as_written) == ("build", "Build")
    assert (last.number, last.origin.image, last.origin.name) == (1, "build", "")
    run = build.instructions[0]
    assert (run.source.first_line, run.source.last_line) == (5, 6)
    assert run.command.words == ("one   two",)


def test_run_has_flags_and_mounts():
    run = only(
        "RUN --mount=type=cache,target=/c --mount=from=other,target=/o --network=none "
        '--security=insecure ["a", "b c"]'
    )
    assert run.mounts == (
        MountFlag("type=cache,target=/c", "", "/c"),
        MountFlag("from=other,target=/o", "other", "/o"),
    )
    assert (run.network, run.security) == ("none", "insecure")
    assert run.command.is_exec_form
    assert run.command.words == ("a", "b c")


def test_copy_has_sources_here_documents_and_flags():
    copy = only(
        "COPY --from=build --chown=1:2 --chmod=u=rwX --link --parents --exclude=*.o "
        "--exclude=*.a a <<-F b/ /to/\n\tone\n\t\ttwo\n\tF\n"
    )
    assert copy.sources == ("a", "b/")
    assert copy.heredocs == (Heredoc("F", "\tone\n\t\ttwo\n", expands=True, strips_tabs=True),)
    assert copy.heredocs[0].text == "one\ntwo\n"
    assert copy == Copy(
        copy.source,
        ("a", "b/"),
        "/to/",
        copy.heredocs,
        from_stage="build",
        chown="1:2",
        chmod="u=rwX",
        link=True,
        parents=True,
        exclude=("*.o", "*.a"),
    )


def test_pairs_keep_their_quotes_and_the_old_form_is_marked():
    assert only("ENV a=1 b='x y'").pairs == (Pair("a", "1"), Pair("b", "'x y'"))
    assert only("LABEL a b  c").pairs == (Pair("a", "b  c", is_legacy=True),)


def test_here_document_is_the_script_or_stands_in_the_command():
    run = only("RUN <<EOF\necho one\nEOF\n")
    assert isinstance(run, Run)
    assert run.command.shell_text == "echo one\n"
    assert only("RUN cat <<A 3<<'B'\n1\nA\n2\nB").command.shell_text == "cat <<A 3<<'B'\n1\nA\n2\nB"


def test_comment_describes_an_argument():
    arg = only("# version of what is built\nARG version=1 other")
    assert isinstance(arg, Arg)
    assert arg.definitions == (
        ArgDefinition("version", "1", "of what is built"),
        ArgDefinition("other"),
    )


def test_lines_end_with_carriage_return_and_the_file_begins_with_a_byte_order_mark():
    dockerfile = parse("\ufeffFROM scratch\r\nENV a=1 \\\r\n  b=2\r\n")
    (env,) = dockerfile.stages[0].instructions
    assert isinstance(env, Env)
    assert env.pairs == (Pair("a", "1"), Pair("b", "2"))


def test_error_says_line_column_and_what_was_meant():
    with pytest.raises(DockerfileError) as caught:
        parse("FROM scratch\n  COPPY a b\n")
    error = caught.value
    assert error.message == (
        "dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)"
    )
    assert (error.line, error.column, error.exit_status) == (2, 3, 1)
