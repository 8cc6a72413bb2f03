"""The progress of a build on a terminal: a line for each step with its time, redrawn, and the last lines of output of
each running step.
"""

from __future__ import annotations

import shutil
import time
from typing import TextIO

from rootless.build.progress import OutputLines, StepProgress, warnings_text

_REDRAW_SECONDS = 0.1
_LOG_LINES = 6
_BLUE, _RED, _FAINT, _PLAIN = "\x1b[34m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


class TtyProgress:
    """Redraws what is on the terminal, at each change and from time to time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._steps: list[_TtyStep] = []
        self._warnings: list[str] = []
        self._drawn = 0
        self._last = 0.0
        self._started = time.monotonic()

    def begin(self, name: str) -> StepProgress:
        step = _TtyStep(self, name)
        self._steps.append(step)
        self.redraw(now=True)
        return step

    def warn(self, text: str) -> None:
        self._warnings.append(text)

    def close(self) -> None:
        self.redraw(now=True, is_finished=True)
        self._stream.write(warnings_text(self._warnings))
        self._stream.flush()

    def redraw(self, *, now: bool = False, is_finished: bool = False) -> None:
        """Draw everything anew, unless that was done a moment ago."""
        passed = time.monotonic() - self._last
        if not now and passed < _REDRAW_SECONDS:
            return
        self._last = time.monotonic()
        size = shutil.get_terminal_size()
        lines = self._lines(size.columns, is_finished=is_finished)
        if len(lines) > size.lines - 1:
            lines = [lines[0], *lines[len(lines) - size.lines + 2 :]]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        body = "".join(f"\x1b[2K{line}\n" for line in lines)
        self._stream.write(f"\x1b[?25l{up}\x1b[0J{body}\x1b[?25h")
        self._stream.flush()
        self._drawn = len(lines)

    def _lines(self, width: int, *, is_finished: bool) -> list[str]:
        total = len(self._steps)
        ended = sum(step.ended is not None for step in self._steps)
        passed = time.monotonic() - self._started
        word = " FINISHED" if is_finished else ""
        lines = [f"[+] Building {passed:.1f}s ({ended}/{total}){word}"]
        for step in self._steps:
            lines += step.lines(width)
        return lines


class _TtyStep:
    def __init__(self, progress: TtyProgress, name: str) -> None:
        self._progress = progress
        self._name = name.replace("\n", " ").replace("\x1b", "")
        self._started = time.monotonic()
        self.ended: float | None = None
        self._is_cached = False
        self._error = ""
        self._output = OutputLines()
        self._shown: list[str] = []
        self._notes: list[str] = []

    def lines(self, width: int) -> list[str]:
        """The lines of this step on the terminal."""
        seconds = (self.ended or time.monotonic()) - self._started
        mark = " CACHED" if self._is_cached else " ERROR" if self._error else ""
        right = f"{seconds:.1f}s"
        left = f" =>{mark} {self._name}"[: max(10, width - len(right) - 2)]
        text = f"{left:<{max(0, width - len(right) - 1)}}{right}"
        color = _RED if self._error else _BLUE if self.ended is not None else ""
        found = [f"{color}{text}{_PLAIN}" if color else text]
        found += [f" => => {note}"[: width - 1] for note in self._notes]
        if self.ended is None:
            found += [f"{_FAINT} => # {line}"[: width - 1] + _PLAIN for line in self._shown]
        return found

    def output(self, stream: int, data: bytes) -> None:
        lines = (line.expandtabs().replace("\x1b", "") for line in self._output.add(stream, data))
        self._shown = [*self._shown, *lines][-_LOG_LINES:]
        self._progress.redraw()

    def note(self, text: str) -> None:
        self._notes.append(text)
        self._progress.redraw()

    def cached(self) -> None:
        self._is_cached = True
        self.done()

    def done(self) -> None:
        self.ended = time.monotonic()
        self._progress.redraw()

    def failed(self, message: str) -> None:
        self._error = message
        self.ended = time.monotonic()
        self._progress.redraw(now=True)
