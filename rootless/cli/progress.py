"""Shows the progress of layers: bars that are redrawn on a terminal, lines elsewhere."""

from __future__ import annotations

import os
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Self, TextIO

from rootless.cli.output import human_size
from rootless.images.transfer.progress import Stage

_REDRAW_SECONDS = 0.1
_RATE_SECONDS = 3.0
_BAR = 30
_MOVING = frozenset({Stage.DOWNLOADING, Stage.PUSHING})


class Lines:
    """One line for each stage of each layer, as Docker writes them where there is no terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: dict[str, Stage] = {}

    def line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def layer(
        self,
        name: str,
        stage: Stage,
        done: int = 0,  # noqa: ARG002 - of no interest in lines
        total: int = 0,  # noqa: ARG002
        note: str = "",
    ) -> None:
        if stage in _MOVING or self._last.get(name) is stage:
            return
        self._last[name] = stage
        print(f"{name}: {stage.value}{note}", file=self._stream, flush=True)


class _Layer:
    """What is shown of one layer."""

    __slots__ = ("done", "note", "rate", "since", "since_done", "stage", "total")

    def __init__(self) -> None:
        self.stage, self.note = Stage.WAITING, ""
        self.done = self.total = 0
        self.since, self.since_done, self.rate = time.monotonic(), -1, 0.0

    def moved(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.since_done < 0:
            self.since, self.since_done = now, done
        passed = now - self.since
        if passed >= _REDRAW_SECONDS:
            latest = (done - self.since_done) / passed
            # An average that forgets: the last few seconds say when the rest will be here.
            weight = min(1.0, passed / _RATE_SECONDS) if self.rate else 1.0
            self.rate += (latest - self.rate) * weight
            self.since, self.since_done = now, done
        self.done, self.total = done, total


class Bars:
    """A line for each layer, redrawn in place, with a bar, the rate and the time that remains."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._layers: dict[str, _Layer] = {}
        self._shown = 0
        self._drawn = 0.0

    def line(self, text: str) -> None:
        self._draw()
        # What stands above stays; later layers are drawn below this line.
        self._layers, self._shown = {}, 0
        print(text, file=self._stream, flush=True)

    def layer(self, name: str, stage: Stage, done: int = 0, total: int = 0, note: str = "") -> None:
        layer = self._layers.setdefault(name, _Layer())
        changed = layer.stage is not stage
        layer.stage, layer.note = stage, note
        if stage in _MOVING:
            layer.moved(done, total)
        if changed or time.monotonic() - self._drawn >= _REDRAW_SECONDS:
            self._draw()

    def _draw(self) -> None:
        if not self._layers:
            return
        self._drawn = time.monotonic()
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except OSError:
            columns = rows = 0
        # A new terminal has the size 0 by 0.
        columns, rows = columns or 80, rows or 24
        # What has scrolled out of a small terminal cannot be redrawn: the last ones are shown.
        names = list(self._layers)[-max(1, rows - 2) :]
        up = f"\x1b[{self._shown}A" if self._shown else ""
        lines = [f"\x1b[2K{self._text(name)[: columns - 1]}\n" for name in names]
        self._stream.write(up + "".join(lines))
        self._stream.flush()
        self._shown = len(names)

    def _text(self, name: str) -> str:
        layer = self._layers[name]
        if layer.stage not in _MOVING or not layer.total:
            return f"{name}: {layer.stage.value}{layer.note}"
        filled = min(_BAR, layer.done * _BAR // layer.total)
        bar = ("=" * filled + ">")[:_BAR].ljust(_BAR)
        text = f"{name}: {layer.stage.value} [{bar}] {human_size(layer.done)}/{human_size(layer.total)}"
        if layer.rate > 0:
            left = int((layer.total - layer.done) / layer.rate)
            text += f"  {human_size(int(layer.rate))}/s  {left // 60}:{left % 60:02}"
        return text


def progress_on(stream: TextIO) -> Lines | Bars:
    """Bars on a terminal that can redraw, else lines."""
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return Bars(stream)
    return Lines(stream)


class Counter:
    """One line on a terminal with what a command has read or written, redrawn in place. Use as a
    context manager; the line is removed at its end. Calls may come from several threads.
    """

    def __init__(self, verb: str, total: int, stream: TextIO) -> None:
        self._verb, self._total, self._stream = verb, total, stream
        self._done, self._drawn = 0, 0.0
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def __call__(self, size: int) -> None:
        """Count the bytes of a piece."""
        with self._lock:
            self._done += size
            now = time.monotonic()
            if now - self._drawn >= _REDRAW_SECONDS:
                self._drawn = now
                self._stream.write(f"\r\x1b[K{self._text(now - self._started)}")
                self._stream.flush()

    def _text(self, seconds: float) -> str:
        of_total = f" / {human_size(self._total)}" if self._total >= self._done else ""
        rate = f"  {human_size(int(self._done / seconds))}/s" if seconds > _REDRAW_SECONDS else ""
        return f"{self._verb} {human_size(self._done)}{of_total}{rate}"


def counter_on(
    verb: str, stream: TextIO, *, total: int = 0, quiet: bool = False
) -> AbstractContextManager[Counter | None]:
    """A counter on a terminal that can redraw, else None. `total` is the bytes there are to move,
    where that is known.
    """
    if quiet or not (stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"):
        return nullcontext(None)
    return Counter(verb, total, stream)
