"""The progress of a build: one entry for each step, with its output, its end and its duration."""

from __future__ import annotations

import hashlib
import os
import time

from rootless.containers.timestamps import now
from rootless.light_json import dumps
from unionfs.light_types import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


class StepProgress(Protocol):
    """One step that is going on."""

    def output(self, stream: int, data: bytes) -> None:
        """Output of a command, on stream 1 or 2."""

    def note(self, text: str) -> None:
        """A line about the step itself."""

    def cached(self) -> None:
        """The step need not be done."""

    def done(self) -> None: ...

    def failed(self, message: str) -> None: ...


class Progress(Protocol):
    """A display of a build, for a person or a program."""

    def begin(self, name: str) -> StepProgress:
        """A step has begun."""

    def warn(self, text: str) -> None:
        """The Dockerfile probably has a mistake."""

    def close(self) -> None:
        """The build has ended."""


class Silence:
    """A build that is not shown."""

    def begin(self, name: str) -> StepProgress:  # noqa: ARG002
        return _SilentStep()

    def warn(self, text: str) -> None: ...

    def close(self) -> None: ...


class _SilentStep:
    def output(self, stream: int, data: bytes) -> None: ...

    def note(self, text: str) -> None: ...

    def cached(self) -> None: ...

    def done(self) -> None: ...

    def failed(self, message: str) -> None: ...


class OutputLines:
    """The output of a command, cut into lines."""

    def __init__(self) -> None:
        self._partial = {1: b"", 2: b""}

    def add(self, stream: int, data: bytes) -> list[str]:
        """The lines that are complete now."""
        *lines, rest = (self._partial[stream] + data).split(b"\n")
        self._partial[stream] = rest
        return [line.decode(errors="replace").rstrip("\r") for line in lines]

    def rest(self) -> list[str]:
        """The last line, if it has no end of line."""
        found = [rest.decode(errors="replace") for rest in self._partial.values() if rest]
        self._partial = {1: b"", 2: b""}
        return found


def warnings_text(warnings: list[str]) -> str:
    """The lines at the end of a build that list its warnings; empty for none."""
    if not warnings:
        return ""
    count = f"{len(warnings)} warning{'s' if len(warnings) > 1 else ''} found"
    return "\n".join(["", f" {count}:", *(f" - {each}" for each in warnings), ""])


class PlainProgress:
    """BuildKit's plain output: `#4 0.213 line`, `#4 DONE 1.2s`, `#4 CACHED`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._count = 0
        self._shown = 0
        self._warnings: list[str] = []

    def begin(self, name: str) -> StepProgress:
        self._count += 1
        step = _PlainStep(self, self._count)
        step.line(name)
        return step

    def warn(self, text: str) -> None:
        self._warnings.append(text)

    def close(self) -> None:
        self._stream.write(warnings_text(self._warnings))
        self._stream.flush()

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
        self._lines = OutputLines()

    def line(self, text: str) -> None:
        self._progress.write(self._number, text)

    def output(self, stream: int, data: bytes) -> None:
        self._show(self._lines.add(stream, data))

    def _show(self, lines: list[str]) -> None:
        passed = time.monotonic() - self._started
        for line in lines:
            self.line(f"{passed:.3f} {line}")

    def note(self, text: str) -> None:
        self.line(text)

    def cached(self) -> None:
        self.line("CACHED")

    def done(self) -> None:
        self._show(self._lines.rest())
        self.line(f"DONE {time.monotonic() - self._started:.1f}s")

    def failed(self, message: str) -> None:
        self._show(self._lines.rest())
        self.line(f"ERROR: {message}")


class JsonProgress:
    """`--progress rawjson`: BuildKit's SolveStatus, a JSON object a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._count = 0

    def begin(self, name: str) -> StepProgress:
        self._count += 1
        digest = hashlib.sha256(f"{os.getpid()} {self._count} {name}".encode()).hexdigest()
        return _JsonStep(self, f"sha256:{digest}", name)

    def warn(self, text: str) -> None:
        self.write({"warnings": [{"level": 1, "short": text}]})

    def close(self) -> None: ...

    def write(self, document: dict[str, object]) -> None:
        self._stream.write(f"{dumps(document).decode()}\n")
        self._stream.flush()


class _JsonStep:
    def __init__(self, progress: JsonProgress, digest: str, name: str) -> None:
        self._progress = progress
        self._vertex: dict[str, object] = {"digest": digest, "name": name, "started": now()}
        self._report()

    def _report(self, **fields: object) -> None:
        self._vertex |= fields
        self._progress.write({"vertexes": [dict(self._vertex)]})

    def output(self, stream: int, data: bytes) -> None:
        from base64 import b64encode

        log = {"vertex": self._vertex["digest"], "stream": stream, "data": b64encode(data).decode()}
        self._progress.write({"logs": [{**log, "timestamp": now()}]})

    def note(self, text: str) -> None:
        status = {"id": text, "vertex": self._vertex["digest"], "timestamp": now()}
        self._progress.write({"statuses": [status]})

    def cached(self) -> None:
        self._report(completed=now(), cached=True)

    def done(self) -> None:
        self._report(completed=now())

    def failed(self, message: str) -> None:
        self._report(completed=now(), error=message)
