"""The lines that end otherwise than with another program, by section, each with a reason of a documentation page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple


class Differences(NamedTuple):
    """`cases` are by section and line."""

    reasons: Mapping[str, str]
    cases: Mapping[str, Mapping[str, Mapping[str, object]]]

    @classmethod
    def read(cls, path: Path) -> Differences:
        return cls(**json.loads(path.read_text("utf-8")))

    def of(self, section: str, case: str) -> Mapping[str, object] | None:
        return self.cases.get(section, {}).get(case)


def check_reasons(
    differences: Differences, sections: Iterable[tuple[str, Iterable[str]]], page: Path
) -> None:
    """Check that the page has each reason, and that each line that differs exists and has one."""
    documented = " ".join(page.read_text("utf-8").split())
    for reason in differences.reasons.values():
        assert reason in documented
    for name, cases in sections:
        known = set(cases)
        for case, listed in differences.cases.get(name, {}).items():
            assert case in known
            assert listed["reason"] in differences.reasons
