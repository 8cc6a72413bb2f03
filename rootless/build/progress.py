"""What a build shows of itself: one entry for each step, with its output, its end and how long it took."""

from __future__ import annotations

import time
from typing import Protocol, TextIO


class StepProgress(Protocol):
    """One step that is going on."""

    def output(self, stream: int, data: bytes) -> None:
        """What a command has written: on 1 or 2."""

    def note(self, text: str) -> None:
        """A line about the step itself."""

    def cached(self) -> None:
        """The step need not be done."""

    def done(self) -> None: ...

    def failed(self, message: str) -> None: ...


class Progress(Protocol):
    """What shows a build to a person or a program."""

    def begin(self, name: str) -> StepProgress:
        """A step has begun."""

    def warn(self, text: str) -> None: ...


class Silence:
    """A build that is not shown."""

    def begin(self, name: str) -> StepProgress:  # noqa: ARG002
        return _SilentStep()

    def warn(self, text: str) -> None: ...


class _SilentStep:
    def output(self, stream: int, data: bytes) -> None: ...

    def note(self, text: str) -> None: ...

    def cached(self) -> None: ...

    def done(self) -> None: ...

    def failed(self, message: str) -> None: ...


class PlainProgress:
    """BuildKit's plain output: `#4 0.213 line`, `#4 DONE 1.2s`, `#4 CACHED`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._count = 0
        self._shown = 0

    def begin(self, name: str) -> StepProgress:
        self._count += 1
        step = _PlainStep(self, self._count)
        step.line(name)
        return step

    def warn(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def write(self, number: int, text: str) -> None:
        """A line of a step; a blank one stands between the lines of different steps."""
        if self._shown not in (0, number):
            self._stream.write("\n")
        self._shown = number
        self._stream.write(f"#{number} {text}\n")
        self._stream.flush()


class _PlainStep:
    def __init__(self, progress: PlainProgress, number: int) -> None:
        self._progress = progress
        self._number = number
        self._started = time.monotonic()
        self._partial = {1: b"", 2: b""}

    def line(self, text: str) -> None:
        self._progress.write(self._number, text)

    def output(self, stream: int, data: bytes) -> None:
        passed = time.monotonic() - self._started
        *lines, rest = (self._partial[stream] + data).split(b"\n")
        self._partial[stream] = rest
        for line in lines:
            self._show(line, passed)

    def _show(self, line: bytes, passed: float) -> None:
        self.line(f"{passed:.3f} {line.decode(errors='replace')}")

    def _flush(self) -> None:
        for stream, rest in self._partial.items():
            if rest:
                self._partial[stream] = b""
                self._show(rest, time.monotonic() - self._started)

    def note(self, text: str) -> None:
        self.line(text)

    def cached(self) -> None:
        self.line("CACHED")

    def done(self) -> None:
        self._flush()
        self.line(f"DONE {time.monotonic() - self._started:.1f}s")

    def failed(self, message: str) -> None:
        self._flush()
        self.line(f"ERROR: {message}")
