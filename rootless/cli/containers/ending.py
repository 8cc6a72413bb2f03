"""How `attach` and `start` end whose process stood by."""

from __future__ import annotations

from rootless.cli.process import exit_after
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from rootless.supervisor.foreground import Outcome


class AttachedEnding(NamedTuple):
    """With or without tracebacks of errors."""

    debug: bool

    def exit_after(self, wait: Callable[[], Outcome]) -> NoReturn:
        """Wait for the container and exit with its status."""
        exit_after(lambda: wait().status, debug=self.debug)
