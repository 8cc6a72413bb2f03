"""`hpc` beside Apptainer: the same lines end in the same way, as Apptainer 1.4.5 was seen to do.

What differs on purpose stands in differences.json with its reason and what happens here, and the reasons in docs/hpc.md too.
"""

import json
import sys
from pathlib import Path

import pytest

from tests.differential.differences import Differences, check_reasons
from tests.differential.hpc.run import Program, Seen, run_section, sections

pytestmark = [
    pytest.mark.needs("userns", "fuse", "subuid", "busybox", "squashfs", "ext3"),
    pytest.mark.slow,
]

HERE = Path(__file__).parent
APPTAINER = json.loads((HERE / "seen/apptainer.json").read_text("utf-8"))
DIFFERENCES = Differences.read(HERE / "differences.json")
SECTIONS = list(sections())


@pytest.mark.parametrize("section", SECTIONS, ids=[section.name for section in SECTIONS])
def test_lines_end_as_apptainers_do(section, rootless, busybox_image, tmp_path):
    env = {**rootless.env, "HOME": str(tmp_path / "home")}
    program = Program(f"{sys.executable} -m rootless hpc", env)
    wrong = []
    for case, ours in run_section(program, section, busybox_image, tmp_path / "work").items():
        seen = Seen(**APPTAINER[section.name][case])
        listed = DIFFERENCES.of(section.name, case)
        expected = (listed or seen._asdict())["status"], (listed or seen._asdict())["stdout"]
        if "Traceback" in ours.stderr or (ours.status, ours.stdout) != expected:
            wrong.append(f"{case}\n  rootless {ours}\n  expected {expected}")
    assert not wrong, "\n".join(wrong)


def test_every_difference_has_a_reason_that_the_documentation_names():
    lines = [(section.name, section.cases) for section in SECTIONS]
    check_reasons(DIFFERENCES, lines, Path("docs/hpc.md"))


def test_every_line_was_seen_at_apptainer():
    for section in SECTIONS:
        assert set(section.cases) == set(APPTAINER[section.name])
