"""The loop that every fuzzer here runs in: mutate a corpus, feed one input, keep what breaks.

    python -m tests.fuzz.NAME [SECONDS [SEED]]

Each input has a number of its own, which is printed with a finding, so that it is made again by
giving it as SEED. What breaks is also kept in the corpus, as `crash-…`; the tests replay all of it.
An input that takes longer than `SLOW` seconds is a finding too.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SLOW = 5.0
Mutate = Callable[[Sequence[bytes], random.Random], bytes]


class SlowError(Exception):
    """An input that is small and keeps the reader busy."""


def seeds_of(corpus: Path) -> list[bytes]:
    """What is mutated, in an order that does not depend on the file system."""
    return [path.read_bytes() for path in sorted(corpus.iterdir())]


def feed(data: bytes, one_input: Callable[[bytes], object]) -> object:
    """Raises whatever `one_input` does, and SlowError."""
    before = time.process_time()
    outcome = one_input(data)
    taken = time.process_time() - before
    if taken > SLOW:
        raise SlowError(f"{taken:.1f} s for {len(data)} bytes")
    return outcome


def splice(
    seeds: Sequence[bytes], dice: random.Random, tokens: Sequence[bytes], most: int = 8
) -> bytes:
    """One of the seeds after a few changes: bytes overwritten, cut out, repeated, taken from other
    seeds, and the `tokens` of a language thrown in."""
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.randint(1, most)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(6):
            case 0:
                data[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                del data[at : at + dice.randint(1, 20)]
            case 2:
                other = dice.choice(seeds)
                start = dice.randrange(len(other) + 1)
                data[at:at] = other[start : start + dice.randint(1, 40)]
            case 3:
                data[at:at] = data[at : at + dice.randint(1, 30)] * dice.choice((1, 2, 50))
            case 4:
                data[at : at + dice.randint(0, 5)] = dice.choice(tokens)
            case _:
                data[at:at] = dice.choice(tokens)
    return bytes(data[: 1 << 20])


def fuzz(corpus: Path, mutate: Mutate, one_input: Callable[[bytes], object]) -> int:
    """The command line of a fuzzer; its exit status."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    numbers = iter([int(sys.argv[2])]) if len(sys.argv) > 2 else None
    seeds = seeds_of(corpus)
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        seed = next(numbers, None) if numbers is not None else random.randrange(1 << 62)
        if seed is None:
            break
        data = mutate(seeds, random.Random(seed))
        count += 1
        try:
            feed(data, one_input)
        except Exception as error:
            kept = corpus / f"crash-{hashlib.sha256(data).hexdigest()[:12]}"
            kept.write_bytes(data)
            print(f"seed {seed}: {error!r}; kept as {kept}")
            raise
    print(f"{count} inputs, no finding")
    return 0
