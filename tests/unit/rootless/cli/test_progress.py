"""The display of a pull: lines, or bars that are redrawn."""

import io
import re

from rootless.cli.progress import Bars, Lines, progress_on
from rootless.images.transfer.progress import Stage


class Terminal(io.StringIO):
    def isatty(self):
        return True


def screen(text):
    """What a terminal shows in the end: cursor up, erase line, and newline are understood."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[(\d+)([AK])|([^\x1b\n]+)|(\n)", text):
        number, letter, words, newline = part
        if letter == "A":
            row -= int(number)
        elif letter == "K":
            lines[row] = ""
        elif newline:
            row += 1
            if row == len(lines):
                lines.append("")
        else:
            lines[row] += words
    return [line for line in lines if line]


def test_lines_say_each_stage_once():
    out = io.StringIO()
    shown = progress_on(out)
    assert isinstance(shown, Lines)
    shown.line("1: Pulling from app")
    for stage in (Stage.PULLING, Stage.DOWNLOADING, Stage.DOWNLOADING, Stage.PULLED, Stage.PULLED):
        shown.layer("abc", stage, 1, 2)
    shown.layer("def", Stage.MOUNTED, note=" from x")
    assert out.getvalue().splitlines() == [
        "1: Pulling from app",
        "abc: Pulling fs layer",
        "abc: Pull complete",
        "def: Mounted from x",
    ]


def test_bars_are_redrawn_in_place(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    shown = progress_on(out)
    assert isinstance(shown, Bars)
    shown.line("1: Pulling from app")
    shown.layer("abc", Stage.PULLING)
    shown.layer("def", Stage.WAITING)
    shown.layer("abc", Stage.DOWNLOADING, 0, 2_000_000)
    shown.layer("abc", Stage.DOWNLOADING, 1_000_000, 2_000_000)
    shown.layer("def", Stage.PULLED)
    top, first, second = screen(out.getvalue())
    assert top == "1: Pulling from app"
    assert first.startswith("abc: Downloading [===============>              ] 1MB/2MB")
    assert second == "def: Pull complete"
    shown.line("done")
    assert screen(out.getvalue())[-1] == "done"


def test_terminal_that_cannot_redraw_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_on(Terminal()), Lines)
