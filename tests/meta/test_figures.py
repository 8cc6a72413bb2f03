"""Figures of the documentation that are counts of files in this repository."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def recorded(directory: str, program: str) -> tuple[int, int]:
    """The cases of a directory, and those of them that end otherwise here."""
    seen = json.loads((ROOT / f"tests/{directory}/seen/{program}.json").read_text())
    differences = json.loads((ROOT / f"tests/{directory}/differences.json").read_text())["cases"]
    if directory == "conformance":
        return len(seen), len(differences)
    return sum(map(len, seen.values())), sum(map(len, differences.values()))


@pytest.mark.parametrize(
    ("directory", "program", "page"),
    [("differential", "docker", "compatibility"), ("differential/hpc", "apptainer", "hpc")],
)
def test_page_has_the_number_of_command_lines_and_the_share_that_ends_alike(
    directory, program, page
):
    lines, different = recorded(directory, program)
    text = " ".join((ROOT / f"docs/{page}.md").read_text().split())
    assert f"has {lines:,} command lines" in text
    assert f"{(lines - different) / lines:.0%} end".replace("%", " %") in text


def test_page_has_the_number_of_lines_that_podman_was_given():
    lines = sum(
        map(len, json.loads((ROOT / "tests/differential/seen/podman.json").read_text()).values())
    )
    assert f"for {lines:,} of them, podman" in " ".join(
        (ROOT / "docs/compatibility.md").read_text().split()
    )


@pytest.mark.parametrize("page", ["build", "compatibility"])
def test_page_has_the_number_of_dockerfiles_and_of_equal_results(page):
    files, different = recorded("conformance", "docker")
    text = " ".join((ROOT / f"docs/{page}.md").read_text().split())
    assert f"has {files} Dockerfiles" in text
    assert f"{files - different} " in text.partition(f"has {files} Dockerfiles")[2][:200]
