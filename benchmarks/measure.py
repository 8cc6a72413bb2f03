"""Timing: every peer in the same run, the order rotated from round to round, every sample kept.

Another process of this machine slows all peers of a round alike, and the rotation gives no peer a better place in the order. A
report gives the median and the spread, never the best.
"""

from __future__ import annotations

import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks.machine import Round, RoundMeter

T = TypeVar("T")

WIDE_SPREAD = 0.25
"""Spread above which a median says little by itself."""

BUSY = 0.25
"""Part of the processors' time for other processes above which a round says little."""


@dataclass(frozen=True, slots=True)
class Key:
    """What was measured: a workload, the subject, and the run on a fresh mount: the first ("cold"), the second, or the third
    ("warm")."""

    workload: str
    subject: str
    temperature: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage of a file server since its start: seconds of processor time, and peak memory in bytes."""

    seconds: float
    peak: int


@dataclass(slots=True)
class Series:
    """The samples of one key, in seconds, in the order of time; or the reason why there are none."""

    key: Key
    seconds: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    """Peak memory in bytes, one per sample, if it was measured: of an engine and its children, or of a file server since its
    start."""
    processor: list[float] = field(default_factory=list)
    """Seconds of processor time of the file server, one per sample, if there is one."""
    failure: str | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a fraction of the median."""
        if len(self.seconds) < 3:
            return (max(self.seconds) - min(self.seconds)) / 2 / self.median
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / 2 / self.median

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third; of fewer than three samples, the least and the greatest."""
        if len(self.seconds) < 3:
            return min(self.seconds), max(self.seconds)
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return low, high

    def document(self) -> dict[str, object]:
        summary = {"median": self.median, "spread": self.spread} if self.seconds else {}
        memory = {"peaks": self.peaks} if self.peaks else {}
        memory |= {"processor": self.processor} if self.processor else {}
        found = {"seconds": self.seconds, "failure": self.failure}
        return {**asdict(self.key), **found, **memory, **summary}


def is_rankable(one: Series, other: Series) -> bool:
    """Whether the samples show which is faster, or that both are alike: at least three of each, and spreads that are
    small, or ranges between the quartiles that do not overlap."""
    if min(len(one.seconds), len(other.seconds)) < 3:
        return False
    if max(one.spread, other.spread) <= WIDE_SPREAD:
        return True
    (low, high), (other_low, other_high) = one.quartiles, other.quartiles
    return high < other_low or other_high < low


class Results:
    """Series by key, in the order the keys first came up, and the rounds in which they were taken."""

    def __init__(self) -> None:
        self._series: dict[Key, Series] = {}
        self.rounds: list[Round] = []

    @property
    def is_disturbed(self) -> bool:
        """Whether other processes used so much of the machine that nothing can be ranked."""
        return bool(self.rounds) and statistics.median(each.others for each in self.rounds) > BUSY

    def __iter__(self) -> Iterator[Series]:
        return iter(self._series.values())

    def of(self, key: Key) -> Series:
        return self._series.setdefault(key, Series(key))

    def time(
        self, key: Key, call: Callable[[], float | None], meter: Callable[[], Usage] | None = None
    ) -> None:
        """Run a call and keep how long it took, and how much more of the server `meter` reports after it. A key that has
        failed once is not measured again: a result that is sometimes there is no result."""
        series = self.of(key)
        if series.failure:
            return
        before = meter() if meter else None
        start = time.perf_counter()
        try:
            told = call()
        except (OSError, RuntimeError, subprocess.SubprocessError, sqlite3.Error) as error:
            self.fail(key, error)
            return
        series.seconds.append(time.perf_counter() - start if told is None else told)
        if meter and before:
            after = meter()
            series.processor.append(after.seconds - before.seconds)
            series.peaks.append(after.peak)

    def record(self, key: Key, seconds: float, peak: int | None = None) -> None:
        """Add a sample that was measured elsewhere, with its peak memory in bytes."""
        series = self.of(key)
        series.seconds.append(seconds)
        if peak is not None:
            series.peaks.append(peak)

    def failed(self, key: Key) -> bool:
        return key in self._series and self._series[key].failure is not None

    def fail(self, key: Key, error: Exception) -> None:
        """Discard the samples of a key and record why there is no result."""
        series = self.of(key)
        series.seconds.clear()
        series.peaks.clear()
        series.processor.clear()
        series.failure = f"{type(error).__name__}: {error}"

    def add(self, documents: Sequence[dict[str, object]]) -> None:
        """Add the series that `document()` gave in another process."""
        for document in documents:
            key = Key(
                str(document["workload"]), str(document["subject"]), str(document["temperature"])
            )
            series = self.of(key)
            series.seconds += document["seconds"]  # type: ignore[arg-type]
            series.peaks += document.get("peaks", [])  # type: ignore[arg-type]
            series.processor += document.get("processor", [])  # type: ignore[arg-type]
            series.failure = document["failure"]  # type: ignore[assignment]


def rotated(items: Sequence[T], round_number: int) -> list[T]:
    """The items, rotated by one more place each round."""
    start = round_number % len(items) if items else 0
    return [*items[start:], *items[:start]]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one part measures: workloads and subjects by name, the scale of the inputs, and how many rounds. `scratch` is a
    directory of its own, `after_round` is called after each round."""

    results: Results
    scratch: Path
    scale: str
    rounds: int
    workloads: Sequence[str]
    subjects: Sequence[str]
    after_round: Callable[[], None]

    def sample_in_rounds(self, subjects: Sequence[T], sample: Callable[[str, T], None]) -> None:
        """Take a sample of each workload with each subject in each round, each round beginning with another subject."""
        for number in range(self.rounds):
            meter = RoundMeter()
            for workload in self.workloads:
                for subject in rotated(subjects, number):
                    sample(workload, subject)
            self.results.rounds.append(meter.finish())
            self.after_round()


@contextmanager
def short_runroot() -> Iterator[Path]:
    """A directory for sockets and locks of engines: podman refuses a runroot of more than 50 characters."""
    with tempfile.TemporaryDirectory(
        prefix="rl-", dir="/tmp", ignore_cleanup_errors=True
    ) as runroot:
        yield Path(runroot)
