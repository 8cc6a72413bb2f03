"""Any bytes are a SIF image whose root partition lies within it, or are refused in one line.

python -m tests.fuzz.sif_headers [SECONDS [SEED]]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

from rootless.errors import InvalidDocumentError
from rootless.images.formats.sif import system_partition
from tests.fuzz.loop import fuzz

CORPUS = Path(__file__).parent / "corpus" / "sif"
# Where the header's numbers and the first descriptors lie, in bytes.
FIELDS = (*range(32, 128), *range(4096, 4096 + 4 * 585))
NUMBERS = (0, 1, 2, 127, 128, 255)


def one_input(data: bytes) -> None:
    """Raises whatever is no InvalidDocumentError, and where a partition is not in the file."""
    refused = ""
    try:
        found = system_partition(
            lambda size, offset: data[offset : offset + size], len(data), "input"
        )
    except InvalidDocumentError as error:
        refused = error.message
    else:
        assert 0 < found.offset < found.offset + found.size <= len(data)
    assert "\n" not in refused


def mutate(seeds: Sequence[bytes], dice: random.Random) -> bytes:
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.randint(1, 6)):
        at = dice.choice(FIELDS)
        if at < len(data):
            data[at] = dice.choice((*NUMBERS, dice.randrange(256)))
    if dice.random() < 0.2:
        del data[dice.randrange(len(data)) :]
    return bytes(data)


if __name__ == "__main__":
    sys.exit(fuzz(CORPUS, mutate, one_input))
