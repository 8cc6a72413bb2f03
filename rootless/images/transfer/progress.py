"""The progress of a pull or push, and the protocol of its display."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Stage(Enum):
    """The state of one layer, in Docker's words."""

    PULLING = "Pulling fs layer"
    WAITING = "Waiting"
    DOWNLOADING = "Downloading"
    DOWNLOADED = "Download complete"
    PULLED = "Pull complete"
    EXISTS = "Already exists"
    PREPARING = "Preparing"
    PUSHING = "Pushing"
    PUSHED = "Pushed"
    MOUNTED = "Mounted"
    FOREIGN = "Skipped foreign layer"
    EXISTS_REMOTELY = "Layer already exists"


class Progress(Protocol):
    """Called from one thread."""

    def line(self, text: str) -> None:
        """A message that is shown once."""

    def layer(self, name: str, stage: Stage, done: int = 0, total: int = 0, note: str = "") -> None:
        """The stage of a layer; `done` of `total` bytes in a stage that counts them."""


class Silence:
    """Shows nothing."""

    def line(self, text: str) -> None:
        """Not shown."""

    def layer(self, name: str, stage: Stage, done: int = 0, total: int = 0, note: str = "") -> None:
        """Not shown."""
