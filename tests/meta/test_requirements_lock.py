"""The locked versions satisfy pyproject.toml, and come with hashes from no place that is named."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "scripts/requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked() -> dict[str, str]:
    """Name to version, for this Python."""
    found = {}
    for line in LOCK.replace("\\\n", " ").splitlines():
        requirement = Requirement(line.split("--hash")[0])
        if requirement.marker is None or requirement.marker.evaluate():
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            found[canonicalize_name(requirement.name)] = pin.version
    return found


def declared() -> Iterator[Requirement]:
    project = PROJECT["project"]
    for text in (
        *PROJECT["build-system"]["requires"],
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ):
        requirement = Requirement(text)
        if requirement.name != project["name"]:
            yield requirement


def test_locked_versions_satisfy_the_declared_ones() -> None:
    pinned = locked()
    for requirement in declared():
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


def test_environment_of_the_suite_is_the_locked_one() -> None:
    assert {name: version(name) for name in locked()} == locked()


def test_lock_has_hashes_and_names_no_index() -> None:
    entries = LOCK.replace("\\\n", " ").splitlines()
    assert all("--hash=sha256:" in each for each in entries)
    assert re.search(r"://|--index|--find-links|^-", LOCK, re.MULTILINE) is None
