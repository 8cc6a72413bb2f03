"""The step that executes hooks of the container's first process."""

from __future__ import annotations

import os

from rootless.runtime.hooks import ContainerState, Hook, execute_hooks
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.runtime.steps.context import Context


class ExecuteHooks(NamedTuple):
    """`state` lacks the PID; `status` is the container's at that point."""

    hooks: tuple[Hook, ...]
    state: ContainerState
    status: str

    def describe(self) -> str:
        return "; ".join(hook.describe() for hook in self.hooks)

    def perform(self, context: Context) -> None:
        # /proc is the host's until the root is entered, and so is the number then.
        pid = int(os.readlink("/proc/self"))
        execute_hooks(self.hooks, self.state._replace(pid=pid).document(self.status))
