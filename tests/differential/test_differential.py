"""The command line beside Docker's: the same lines end in the same way, as Docker 28.5 was seen to do.

What differs on purpose stands in differences.json with its reason and what rootless does instead, and the reasons in
docs/compatibility.md too.
"""

import json
import sys
from pathlib import Path

import pytest

from tests.differential.cases import sections
from tests.differential.differences import Differences, check_reasons
from tests.differential.run import Program, Seen, meaning, run_section

pytestmark = [pytest.mark.needs("userns", "fuse", "subuid", "busybox"), pytest.mark.slow]

HERE = Path(__file__).parent
DOCKER = json.loads((HERE / "seen/docker.json").read_text("utf-8"))
PODMAN = json.loads((HERE / "seen/podman.json").read_text("utf-8"))
DIFFERENCES = Differences.read(HERE / "differences.json")
SECTIONS = list(sections())


def same(one: Seen, other: Seen) -> bool:
    return one._replace(stderr=meaning(one.stderr)) == other._replace(stderr=meaning(other.stderr))


@pytest.mark.parametrize("section", SECTIONS, ids=[section.name for section in SECTIONS])
def test_lines_end_as_dockers_do(section, rootless, busybox_image, tmp_path):
    busybox = tmp_path / "busybox.tar"  # an imported image says from which file
    busybox.symlink_to(busybox_image)
    program = Program(f"{sys.executable} -m rootless", busybox, rootless.env)
    here = tmp_path / "work" / section.name
    wrong = []
    for case, ours in run_section(program, section, here).items():
        expected = [Seen(**DOCKER[section.name][case])]
        if (listed := DIFFERENCES.of(section.name, case)) is not None:
            message = ours.stderr if listed["reason"] == "wording" else listed["stderr"]
            expected.append(Seen(listed["status"], listed["stdout"], message))
        if "Traceback" in ours.stderr or not any(same(ours, each) for each in expected):
            wrong.append(f"{case}\n  rootless {ours}\n  expected {expected[-1]}")
    assert not wrong, "\n".join(wrong)


def test_every_difference_has_a_reason_that_the_documentation_names():
    lines = [(section.name, section.cases) for section in SECTIONS]
    check_reasons(DIFFERENCES, lines, Path("docs/compatibility.md"))


def test_every_line_was_seen_at_docker():
    for section in SECTIONS:
        assert set(section.cases) == set(DOCKER[section.name])


def test_nothing_but_limits_differs_from_what_docker_and_podman_do_alike():
    """Both discard limits where there are no control groups, and detach keys that `-d` does not need."""
    reasons = set()
    for section, cases in DIFFERENCES.cases.items():
        for case, listed in cases.items():
            docker, podman = (seen.get(section, {}).get(case) for seen in (DOCKER, PODMAN))
            if podman is not None and docker["status"] == podman["status"] != listed["status"]:
                reasons.add(listed["reason"])
    assert reasons <= {"cgroups", "detach"}
