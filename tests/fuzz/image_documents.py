"""Fuzz entry: any bytes are a reference, a manifest, an index and a config, or are refused with an
error of ours. Never anything else.

    python -m tests.fuzz.image_documents [SECONDS]      mutate the corpus; a finding is printed and
    left in the corpus directory

tests/unit/rootless/test_fuzz_corpus.py replays tests/fuzz/corpus/image-documents on every push.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from rootless.errors import RootlessError
from rootless.images.changes import apply_change
from rootless.oci.image_config import read_image_config
from rootless.oci.manifest import read_index, read_manifest
from rootless.oci.platform import parse_platform
from rootless.oci.reference import parse_reference

CORPUS = Path(__file__).parent / "corpus" / "image-documents"


def one_input(data: bytes) -> None:
    """Raises whatever is no RootlessError: a finding."""
    text = data.decode("utf-8", "replace")
    for read in (parse_reference, parse_platform, lambda change: apply_change({}, change)):
        refused = ""
        try:
            read(text)
        except RootlessError as error:
            refused = error.message
        assert "\n" not in refused
    for document in (read_manifest, read_index, read_image_config):
        try:
            document(data, "input")
        except RootlessError:
            continue


def mutate(seeds: list[bytes], dice: random.Random) -> bytes:
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.randint(1, 8)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(4):
            case 0:
                data[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                del data[at : at + dice.randint(1, 20)]
            case 2:
                other = dice.choice(seeds)
                start = dice.randrange(len(other) + 1)
                data[at:at] = other[start : start + dice.randint(1, 30)]
            case _:
                token = (
                    b"null",
                    b"-1",
                    b"1e999",
                    b"{}",
                    b"[]",
                    b'""',
                    b"true",
                    b"\xff",
                    b"\\ud800",
                )
                data[at:at] = dice.choice(token)
    return bytes(data)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seeds = [path.read_bytes() for path in sorted(CORPUS.iterdir())]
    dice = random.Random()
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutate(seeds, dice)
        count += 1
        try:
            one_input(data)
        except Exception:
            (CORPUS / f"finding-{dice.getrandbits(32):08x}").write_bytes(data)
            raise
    print(f"{count} inputs, no finding")


if __name__ == "__main__":
    main()
