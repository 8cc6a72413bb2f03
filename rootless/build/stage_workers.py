"""Builds independent stages at the same time, each in a process of its own.

A worker is forked with all that is known of the build, and brings its layers into the store itself. What it
shows goes through a pipe to the building process, and what the stage has become comes as its result. It
ends with the building process.
"""

from __future__ import annotations

import marshal
import os
import select
from collections.abc import Callable

from rootless.build.errors import BuildError
from rootless.build.progress import Progress, StepProgress
from rootless.light_stdlib import signal
from rootless.run_in_child import ChildCall
from rootless.syscalls.processes import PR_SET_PDEATHSIG, prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LENGTH = 4
_CHUNK = 1 << 16


class StageWorker:
    """A stage that another process builds. `work` is called there with the progress to show, and returns what
    marshal takes, or raises BuildError."""

    def __init__(self, work: Callable[[Progress], object]) -> None:
        self.reader, writer = os.pipe2(os.O_CLOEXEC)
        self._data = b""
        self._steps: dict[int, StepProgress] = {}
        parent = os.getpid()

        def run() -> object:
            os.close(self.reader)
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            # So that it ends its container and removes what it has made.
            signal.signal(signal.SIGTERM, _interrupt)
            try:
                return True, work(_PipedProgress(writer))
            except BuildError as error:
                return False, error.packed()

        try:
            self._call = ChildCall(run)
        finally:
            os.close(writer)

    def show(self, progress: Progress) -> bool:
        """Pass on what the worker has to show; False once it has ended."""
        data = os.read(self.reader, _CHUNK)
        self._data += data
        while len(self._data) >= _LENGTH:
            size = int.from_bytes(self._data[:_LENGTH], "big")
            if len(self._data) < _LENGTH + size:
                break
            event = marshal.loads(self._data[_LENGTH : _LENGTH + size])
            self._data = self._data[_LENGTH + size :]
            self._apply(progress, *event)
        return bool(data)

    def _apply(self, progress: Progress, number: int, what: str, values: tuple[Any, ...]) -> None:
        if what == "begin":
            self._steps[number] = progress.begin(*values)
        elif what == "warn":
            progress.warn(*values)
        else:
            getattr(self._steps[number], what)(*values)

    def result(self) -> Any:  # noqa: ANN401 - what `work` has returned
        """Raises BuildError, and RootlessError if the worker was killed."""
        os.close(self.reader)
        succeeded, value = self._call.result()
        if not succeeded:
            raise BuildError.unpacked(value)
        return value

    def kill(self) -> None:
        """End the worker, in place of `result`."""
        os.close(self.reader)
        self._call.kill()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def wait_for(workers: list[StageWorker], progress: Progress) -> StageWorker:
    """Show what the workers do until one of them has ended; returns that."""
    poll = select.poll()
    by_reader = {worker.reader: worker for worker in workers}
    for reader in by_reader:
        poll.register(reader, select.POLLIN)
    while True:
        for reader, _ in poll.poll():
            worker = by_reader[reader]
            if not worker.show(progress):
                return worker


class _PipedProgress:
    """Progress in a worker."""

    def __init__(self, writer: int) -> None:
        self._writer = writer
        self._count = 0

    def begin(self, name: str) -> StepProgress:
        self._count += 1
        self.send(self._count, "begin", name)
        return _PipedStep(self, self._count)

    def warn(self, text: str) -> None:
        self.send(0, "warn", text)

    def close(self) -> None: ...

    def send(self, number: int, what: str, *values: str | bytes | int) -> None:
        data = marshal.dumps((number, what, values))
        view = memoryview(len(data).to_bytes(_LENGTH, "big") + data)
        while view:
            view = view[os.write(self._writer, view) :]


class _PipedStep:
    def __init__(self, progress: _PipedProgress, number: int) -> None:
        self._progress = progress
        self._number = number

    def output(self, stream: int, data: bytes) -> None:
        self._progress.send(self._number, "output", stream, data)

    def note(self, text: str) -> None:
        self._progress.send(self._number, "note", text)

    def cached(self) -> None:
        self._progress.send(self._number, "cached")

    def done(self) -> None:
        self._progress.send(self._number, "done")

    def failed(self, message: str) -> None:
        self._progress.send(self._number, "failed", message)
