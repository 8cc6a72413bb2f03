"""Going on from a step that failed: `--resume` and `--accept`."""

from __future__ import annotations

import re

import pytest

from tests.support.shell_on_terminal import type_into_shell

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

FAILING = (
    "FROM base:1\nENV E=env\nWORKDIR /w\nRUN echo partial >> left; cat needed > made\n"
    "RUN cp made after\nCMD true\n"
)


def fail(builds, dockerfile, *flags):
    """Build what fails; the container that was kept of it."""
    done = builds(dockerfile, "--on-fail", *(flags or ("keep",)))
    assert done.status == 1, done.stderr
    return re.search("the container of the step is ([a-z_0-9]+):", done.stderr)[1]


def type_into(builds, container, *lines):
    """Type lines into the shell of a container."""
    return type_into_shell(builds.rootless, ("start", "-ai", container), (*lines, "exit"))


def test_a_resumed_build_executes_the_command_again_over_what_was_left(builds):
    name = fail(builds, FAILING)
    needed = builds.directory.with_name("needed")
    needed.write_text("mended\n")
    assert builds.rootless("cp", str(needed), f"{name}:/w/needed").status == 0
    shown = builds.ok(FAILING, "--resume")
    assert f"going on from container {name}" in shown
    assert builds.sh("pwd; cat left made after").split() == [
        *("/w", "partial", "partial", "mended", "mended"),
    ]
    # One layer a step, and history as of any other build.
    assert len(builds.layers()) == 4
    assert any("cat needed > made" in text for text in builds.history())


def test_a_resumed_step_is_found_again_by_a_build_that_resumes_and_by_no_other(builds):
    name = fail(builds, FAILING)
    needed = builds.directory.with_name("needed")
    needed.write_text("mended\n")
    assert builds.rootless("cp", str(needed), f"{name}:/w/needed").status == 0
    builds.ok(FAILING, "--resume")
    assert builds.rootless("rm", name).status == 0
    shown = builds.ok(FAILING, "--resume")
    assert "going on from" not in shown
    assert shown.count("CACHED") == 4
    assert builds(FAILING).status == 1


def test_a_command_that_fails_again_is_kept_again(builds):
    name = fail(builds, FAILING)
    again = fail(builds, FAILING, "keep", "--resume")
    assert again != name
    needed = builds.directory.with_name("needed")
    needed.write_text("mended\n")
    assert builds.rootless("cp", str(needed), f"{again}:/w/needed").status == 0
    builds.ok(FAILING, "--resume")
    assert builds.sh("cat left made").split() == ["partial", "partial", "partial", "mended"]


def test_without_a_container_a_resumed_build_says_so(builds):
    name = fail(builds, FAILING)
    assert builds.rootless("rm", name).status == 0
    done = builds(FAILING, "--resume")
    assert done.status == 1
    assert f"container {name}, which was kept of the step, is not there any more" in done.stderr
    assert "build without --resume" in done.stderr


def test_nothing_kept_makes_a_resumed_build_an_ordinary_one(builds):
    builds.ok("FROM base:1\nRUN echo x > /x\n", "--resume", "--accept")
    assert builds.sh("cat /x") == "x\n"


def test_what_was_typed_is_accepted_in_place_of_the_command(builds):
    name = fail(builds, FAILING, "shell")
    type_into(builds, name, "echo typed > needed", "false", "cd /", "cat /w/needed > /w/made")
    shown = builds.ok(FAILING, "--accept")
    assert "what was typed is in" in shown
    assert builds.sh("pwd; cat left made after").split() == ["/w", "partial", "typed", "typed"]
    text = (builds.directory / "Dockerfile").read_text()
    assert text.splitlines() == [
        "FROM base:1",
        "ENV E=env",
        "WORKDIR /w",
        "RUN echo typed > needed",
        "# exit status 1: false",
        "WORKDIR /",
        "RUN cat /w/needed > /w/made",
        "WORKDIR /w",
        "# RUN echo partial >> left; cat needed > made",
        "RUN cp made after",
        "CMD true",
    ]
    builds.ok(text)
    assert builds.sh("pwd; ls; cat made after").split() == [
        *("/w", "after", "made", "needed", "typed", "typed"),
    ]


def test_what_was_typed_is_put_in_front_of_a_command_that_succeeds_after_it(builds):
    name = fail(builds, FAILING, "shell")
    type_into(builds, name, "echo typed > needed")
    builds.ok(FAILING, "--resume", "--accept")
    assert builds.sh("cat left made").split() == ["partial", "partial", "typed"]
    text = (builds.directory / "Dockerfile").read_text()
    assert text == FAILING.replace("RUN echo partial", "RUN echo typed > needed\nRUN echo partial")
    builds.ok(text)
    assert builds.sh("cat left made").split() == ["partial", "typed"]


def test_nothing_typed_is_nothing_to_accept(builds):
    name = fail(builds, FAILING, "shell")
    done = builds(FAILING, "--accept")
    assert done.status == 1
    assert f"nothing was typed into container {name} that could be accepted" in done.stderr
    assert (builds.directory / "Dockerfile").read_text() == FAILING
