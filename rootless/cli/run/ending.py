"""The report of `run` about the end of its container."""

from __future__ import annotations

import sys

from rootless.cli.process import exit_after
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from rootless.supervisor.foreground import Outcome


class RunEnding(NamedTuple):
    """`memory_limit` is that of the command line, or empty."""

    memory_limit: str
    debug: bool

    def exit_after(self, wait: Callable[[], Outcome]) -> NoReturn:
        """Wait for the container, in a process that stood by, and exit as `run` does."""
        exit_after(lambda: self.report(wait()), debug=self.debug)

    def report(self, outcome: Outcome) -> int:
        """Print why the container has ended, if the kernel killed it; returns its status."""
        if outcome.out_of_memory:
            limit = f" of {self.memory_limit}" if self.memory_limit else ""
            print(
                f"rootless: the container reached its memory limit{limit}, and the kernel killed "
                "a process in it",
                file=sys.stderr,
            )
        return outcome.status
