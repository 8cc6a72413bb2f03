"""Every case built by this engine, beside what docker made of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.base import base_tar
from tests.conformance.cases import BASE, Case, make_context, read_cases
from tests.conformance.description import describe, diff_ids
from tests.conformance.record import error_of, warnings_of
from tests.support.command import run_command
from tests.support.rootless import Rootless, remove_tree, short_directory

pytestmark = [pytest.mark.needs("userns", "fuse", "subuid", "busybox"), pytest.mark.slow]

HERE = Path(__file__).parent
CASES = read_cases()
DOCKER = json.loads((HERE / "seen/docker.json").read_text("utf-8"))
BUILDAH = json.loads((HERE / "seen/buildah.json").read_text("utf-8"))
_DIFFERENCES = json.loads((HERE / "differences.json").read_text("utf-8"))
OURS = _DIFFERENCES["cases"]
REASONS = _DIFFERENCES["reasons"]
"""Why a result is another than docker's, by the name of the reason."""


class Builder:
    """A store with the base image, for all cases."""

    def __init__(self, directory: Path) -> None:
        base_tar(directory / "base.tar")
        self._rootless = Rootless(directory / "data", directory / "run")
        self._run("import", directory / "base.tar", BASE)
        self._run("save", "-o", directory / "base-image.tar", BASE)
        self._base = diff_ids(directory / "base-image.tar")

    def result(self, case: Case, directory: Path) -> dict[str, object]:
        context = make_context(case, directory)
        archive = directory / "image.tar"
        flags = ("--progress=plain", "--no-cache", "-t", f"conformance:{case.name}")
        done = run_command(
            [
                *(sys.executable, "-m", "rootless", "build", *flags),
                *(f"-otype=docker,dest={archive}", *case.flags, case.context),
            ],
            env=self._rootless.env,
            stdin=(context / case.stdin).read_bytes() if case.stdin else b"",
            cwd=context,
        )
        if done.status:
            return {"error": error_of(done.stderr, context), "status": done.status}
        found = describe(archive, self._base)
        if warnings := warnings_of(done.stderr):
            found["warnings"] = warnings
        return found

    def _run(self, *arguments: str | Path) -> None:
        self._rootless(*arguments).ok()


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    directory = short_directory()
    yield Builder(directory)
    remove_tree(directory)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_result_is_that_of_docker_or_the_documented_one(builder, case, tmp_path):
    expected = OURS[case.name]["result"] if case.name in OURS else DOCKER[case.name]
    assert builder.result(case, tmp_path) == expected


def test_every_case_has_a_result_and_every_difference_a_documented_reason():
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.name for case in CASES} == set(DOCKER)
    assert set(OURS) <= set(DOCKER)
    assert not [name for name, ours in OURS.items() if ours["result"] == DOCKER[name]]
    assert {ours["reason"] for ours in OURS.values()} == set(REASONS)
    documented = " ".join(Path("docs/build.md").read_text("utf-8").split())
    assert not [reason for reason in REASONS.values() if reason not in documented]


def test_layers_differ_from_those_that_docker_and_buildah_agree_about_for_few_reasons():
    alone = {
        ours["reason"]
        for name, ours in OURS.items()
        if ours["result"].get("layers") != DOCKER[name].get("layers") == BUILDAH[name].get("layers")
    }
    assert alone == {
        *("hard links", "opaque", "parents", "security", "several sources", "variables"),
        "whiteout names",
    }
