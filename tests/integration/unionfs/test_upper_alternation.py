"""Under real ownership an upper is the union's and kernel overlayfs's in turns: random operations on
it by the one and by the other, held against a plain directory."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable, Iterator

import pytest

from tests.support.overlay import UNIONS, Namespace, several_ids
from tests.support.trees import Outcome, Row

pytestmark = pytest.mark.needs("userns", "fuse", "overlay")

OPTIONS = "allow_other,ownership=real,redirect_dir=off"
SERVERS = (UNIONS["device"], None)
"""Who mounts it, in turns: the union, the kernel."""
TURNS = 8
OPERATIONS = 40
NAMES = ("x", "y", "gone", "new", "other", "sub")
FLAGS = (0, os.O_EXCL, os.O_TRUNC)
NOREPLACE, EXCHANGE = 1, 2


class Alternation:
    """One upper, and a plain directory that ought to look the same all the time."""

    def __init__(self, namespace: Namespace, seed: int, options: str) -> None:
        self._call = namespace.call
        self._random = random.Random(seed)
        self._owners = [0, 1, 33, 1000] if several_ids() else [0]
        self.said: list[str] = []
        self.refused = 0
        self._call("begin", {"union": SERVERS[0]}, options, False)

    def hand_over(self, turn: int) -> None:
        self.said.append(f"--- turn {turn}")
        self._call("hand_over", "union", SERVERS[turn % 2])

    def compare(self) -> None:
        snapshots = self._call("snapshots")
        plain, union = (_comparable(snapshots[name]) for name in ("plain", "union"))
        assert union.keys() == plain.keys(), self._story()
        for path, row in plain.items():
            assert union[path] == row, f"{path} is not {row} but {union[path]}:\n{self._story()}"

    def step(self) -> None:
        operation, arguments = self._random.choice(self._choices())()
        # Neither can rename a directory that a lower contributes to, so the plain one is not to.
        outcome = self._call("apply_to", "union", operation, arguments)
        if outcome == ("errno", "EXDEV"):
            self.refused += 1
            return
        self._expect(operation, arguments, outcome)

    def _expect(self, operation: str, arguments: tuple[object, ...], outcome: Outcome) -> None:
        self.said.append(f"{operation}{_brief(arguments)}: {_brief(outcome)}")
        assert self._call("apply_to", "plain", operation, arguments) == outcome, self._story()

    def _story(self) -> str:
        return "\n".join(self.said[-60:])

    def _choices(self) -> list[Callable[[], tuple[str, tuple[object, ...]]]]:
        dice, (numbers, directories) = self._random, self._call("plain_paths")
        paths = sorted(numbers)
        if len(paths) > 1:
            paths.remove(".")

        def old() -> str:
            return dice.choice(paths)

        def new() -> str:
            return f"{dice.choice(directories)}/{dice.choice(NAMES)}"

        def content() -> bytes:
            return dice.randbytes(dice.choice((0, 1, 100, 70000)))

        return [
            # A FIFO would wait for its reader.
            lambda: ("create", (new(), os.O_NONBLOCK | dice.choice(FLAGS), 0o644, content())),
            lambda: ("mkdir", (new(), dice.choice((0o755, 0o700, 0o2775)))),
            lambda: ("symlink", (new(), dice.choice(("plain", "../b", "nowhere")))),
            lambda: ("link", (old(), new())),
            lambda: ("unlink", (old(),)),
            lambda: ("unlink", (old(),)),
            lambda: ("rmdir", (dice.choice(directories),)),
            lambda: ("rename", (old(), new(), dice.choice((0, 0, NOREPLACE)))),
            lambda: ("rename", (old(), old(), dice.choice((0, EXCHANGE)))),
            lambda: ("write", (old(), dice.choice((0, 10, 200000)), content())),
            lambda: ("write", ("big", dice.randrange(1 << 18), content())),
            # Never to the size it has: the kernel then keeps the time that it has cached for a union
            # (fuse_do_setattr asks for a new one only with a new size).
            lambda: ("truncate", (old(), dice.randrange(1, 9000))),
            lambda: ("chmod", (old(), dice.choice((0o600, 0o755, 0o4755, 0o700)))),
            lambda: ("chown", (old(), dice.choice(self._owners), dice.choice(self._owners))),
            lambda: ("utime", (old(), 10**17 + 1, dice.choice((-5, 10**17 + 3)))),
            lambda: ("setxattr", (old(), "user.colour", dice.choice((b"red", b"")), 0)),
            lambda: ("removexattr", (old(), "user.colour")),
        ]


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) < 120 else f"{text[:117]}..."


def _comparable(snapshot: dict[str, Row]) -> dict[str, object]:
    """Without the number of links of directories, which is 1 where the kernel merges, and without
    the union's own attributes, which only the union hides."""
    rows: dict[str, object] = {}
    for path, ((mode, nlink, *rest), content, attributes, _) in snapshot.items():
        seen = tuple(item for item in attributes if not item[0].startswith("user.rootless."))
        rows[path] = (mode, 0 if stat.S_ISDIR(mode) else nlink, rest, content, seen)
    return rows


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace(all_ids=several_ids())
    try:
        yield made
        made.call("end")
    finally:
        made.kill()


@pytest.mark.parametrize(
    ("lazy", "seed"),
    [("", 0), ("", 1), ("", 2), ("lazy=8k", 0), ("lazy=8k", 201), ("lazy=8k", 206)],
)
def test_union_and_kernel_overlayfs_take_turns_on_one_upper(namespace, lazy, seed) -> None:
    """Lazy copies, which the kernel could not read, are finished when the union is unmounted."""
    upper = Alternation(namespace, seed, ",".join(filter(None, (OPTIONS, lazy))))
    upper.compare()
    for turn in range(1, TURNS + 1):
        for _ in range(OPERATIONS):
            upper.step()
        upper.compare()
        upper.hand_over(turn)
        upper.compare()
    assert upper.refused < TURNS * OPERATIONS / 4
