"""The errors of a build, in BuildKit's words."""

from __future__ import annotations

from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class BuildError(RootlessError):
    """A build that failed. The command ends with status 1, as docker's does.

    `line` and `last_line` are those of the instruction in the Dockerfile, 0 for none; `step` is the name of
    the step and `log` the last lines of its output; `excerpt` the lines of the Dockerfile around it; `container`
    the name of the container that was kept of the step.
    """

    exit_status = 1
    code = "build"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.line = 0
        self.last_line = 0
        self.step = ""
        self.excerpt = ""
        self.container = ""
        self.log: Sequence[str] = ()

    def packed(self) -> tuple[object, ...]:
        """For another process of this program; `unpacked` is the inverse."""
        place = self.line, self.last_line, self.step, self.excerpt, tuple(self.log)
        return (self.message, self.hint, self.container, *place)

    @classmethod
    def unpacked(cls, values: tuple[Any, ...]) -> BuildError:
        """The error that `packed` described."""
        message, hint, container, *place = values
        error = cls(message, hint=hint)
        error.container = container
        error.line, error.last_line, error.step, error.excerpt, error.log = place
        return error
