"""A terminal as users have it: a window of tmux, with a shell in it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_until

PROMPT = "shell>"
_SECONDS = 120


class Window:
    """One window, 80 by 24, of a tmux server of its own. Its shell is bash without start-up files."""

    def __init__(self, directory: Path, env: Mapping[str, str]) -> None:
        self._socket = str(directory / "tmux.sock")
        self._env = {**env, "PS1": f"{PROMPT} ", "TERM": "xterm", "HISTFILE": "", "LANG": "C.UTF-8"}
        shell = "bash --norc --noprofile"
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", shell)
        self.expect_prompt()

    def tmux(self, *words: str) -> str:
        """The output of a command of tmux. Raises CalledProcessError."""
        return subprocess.run(
            ("tmux", "-S", self._socket, *words),
            env=self._env,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout

    def type(self, *keys: str) -> None:
        """Type keys by tmux's names, such as C-c and Enter, and other words as they are."""
        self.tmux("send-keys", *keys)

    def run(self, command: str) -> None:
        """Type a command and return."""
        self.tmux("send-keys", "-l", command)
        self.type("Enter")

    def screen(self) -> str:
        """What the window shows, without the blanks at the ends of its lines."""
        return self.tmux("capture-pane", "-p").rstrip()

    def expect(self, text: str) -> None:
        """Wait until the window shows the text."""
        try:
            wait_until(lambda: text in self.screen(), _SECONDS)
        except AssertionError:
            raise AssertionError(f"{text!r} is not shown:\n{self.screen()}") from None

    def expect_no(self, text: str) -> None:
        """Wait until the window does not show the text."""
        try:
            wait_until(lambda: text not in self.screen(), _SECONDS)
        except AssertionError:
            raise AssertionError(f"{text!r} is shown:\n{self.screen()}") from None

    def expect_prompt(self, prompt: str = PROMPT) -> None:
        """Wait until a prompt, by default the shell's, is the last line and nothing is typed after it."""
        try:
            wait_until(lambda: self.screen().split("\n")[-1] == prompt, _SECONDS)
        except AssertionError:
            raise AssertionError(f"there is no {prompt!r}:\n{self.screen()}") from None

    def clear(self) -> None:
        self.run("clear")
        self.expect_no(f"{PROMPT} clear")

    def resize(self, columns: int, rows: int) -> None:
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))


@contextmanager
def window(env: Mapping[str, str]) -> Iterator[Window]:
    """A window for the length of a block."""
    # A short name: a socket's path ends at 107 bytes (unix(7)).
    with tempfile.TemporaryDirectory(prefix="tmux") as directory:
        opened = Window(Path(directory), env)
        try:
            yield opened
        finally:
            opened.tmux("kill-server")
