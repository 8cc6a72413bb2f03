"""Hooks of the OCI runtime spec: programs that are executed at points of a container's life, with the container's state
as JSON on standard input.

createContainer and startContainer are executed by the container's first process, in its namespaces: the former before
it enters its root, when the host's paths and the container's mounts are both there, the latter afterwards. The others
are executed by the monitor, on the host and as the caller: prestart and createRuntime when the namespaces are there and
before anything is mounted, poststart when the command has been executed, and poststop when it has ended.
"""

from __future__ import annotations

import errno
import os
import select
import time

from rootless.light_json import dumps
from rootless.light_stdlib import signal
from rootless.runtime.execution import reset_signals
from rootless.runtime.failure import HookError
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_OUTPUT_LIMIT = 4096  # bytes of a hook's output that an error shows


class Hook(NamedTuple):
    """`args` begin with the name of the program, `env` are NAME=VALUE, `timeout` is in seconds and 0 for none."""

    point: str
    path: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    timeout: int

    def describe(self) -> str:
        return f"execute the {self.point} hook {self.path}"


class ContainerState(NamedTuple):
    """The fields of the state document apart from its status. `pid` is the container's on the host."""

    container_id: str
    bundle: str
    pid: int
    annotations: Mapping[str, str] = {}

    def document(self, status: str) -> bytes:
        """The state as the OCI runtime specification has it."""
        return dumps(
            {
                "ociVersion": "1.2.0",
                "id": self.container_id,
                "status": status,
                **({"pid": self.pid} if self.pid else {}),
                "bundle": self.bundle,
                "annotations": dict(self.annotations),
            }
        )


def state_of(spec: Mapping[str, Any], bundle: str, pid: int = 0) -> ContainerState:
    """Of the container whose directory, named as the container, is `bundle`."""
    return ContainerState(os.path.basename(bundle), bundle, pid, spec.get("annotations", {}))


def hooks_of(spec: Mapping[str, Any], *points: str) -> tuple[Hook, ...]:
    """The hooks of a spec, in the order of their execution."""
    hooks = spec.get("hooks")
    if not hooks:
        return ()
    return tuple(
        Hook(
            point,
            str(entry["path"]),
            tuple(map(str, entry.get("args") or (entry["path"],))),
            tuple(map(str, entry.get("env") or ())),
            int(entry.get("timeout") or 0),
        )
        for point in points
        for entry in hooks.get(point) or ()
    )


def execute_hooks(hooks: Sequence[Hook], state: bytes) -> None:
    """One after the other. Raises HookError at the first that does not succeed."""
    for hook in hooks:
        execute_hook(hook, state)


def execute_hook(hook: Hook, state: bytes) -> None:
    """Execute one and wait for its end.

    Raises HookError: it could not be executed, ended with another status than 0, or took too long.
    """
    state_reader, state_writer = os.pipe2(os.O_CLOEXEC)
    output_reader, output_writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _become(hook, state_reader, output_writer)
    os.close(state_reader)
    os.close(output_writer)
    try:
        _write(state_writer, state)
        output = _read(hook, pid, output_reader)
    finally:
        os.close(output_reader)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == 0:
        return
    how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
    last = output.decode(errors="replace").strip().rpartition("\n")[2]
    raise HookError(f"the {hook.point} hook {hook.path} {how}{f': {last}' if last else ''}")


def _become(hook: Hook, state: int, output: int) -> None:
    """In the child: never returns."""
    try:
        os.dup2(state, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        reset_signals()
        environment = dict(each.partition("=")[::2] for each in hook.env)
        os.execve(hook.path, list(hook.args), environment)
    except OSError as error:
        os.write(2, (error.strerror or "").lower().encode())
    finally:
        os._exit(127)


def _write(descriptor: int, state: bytes) -> None:
    """A hook need not read it. The state fits into a pipe, unless the annotations are many: then the rest is lost to a
    hook that does not read while it runs."""
    os.set_blocking(descriptor, False)
    try:
        while state:
            state = state[os.write(descriptor, state) :]
    except (BrokenPipeError, BlockingIOError):
        pass
    finally:
        os.close(descriptor)


def _read(hook: Hook, pid: int, descriptor: int) -> bytes:
    """What it writes, up to a limit, until it closes its output."""
    output = b""
    until = time.monotonic() + hook.timeout
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        left = until - time.monotonic() if hook.timeout else None
        if (left is not None and left <= 0) or not poll.poll(None if left is None else left * 1000):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise HookError(
                f"the {hook.point} hook {hook.path} did not end within {hook.timeout} seconds"
            )
        try:
            part = os.read(descriptor, _OUTPUT_LIMIT)
        except OSError as error:
            if error.errno == errno.EINTR:
                continue
            raise
        if not part:
            return output
        output = (output + part)[-_OUTPUT_LIMIT:]
