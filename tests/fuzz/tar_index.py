"""Any bytes are an archive whose index can be walked and read, or a TarError with its position.

python -m tests.fuzz.tar_index [SECONDS [SEED]]
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.loop import fuzz
from tests.support.tar_layers import walk, write_index
from unionfs.layer import Mark
from unionfs.tar.format import TarError
from unionfs.tar.layer import TarLayer

CORPUS = Path(__file__).parent / "corpus" / "tar"


def one_input(data: bytes, work: Path) -> bool:
    """Index and read everything; whether the archive was accepted."""
    archive, index = work / "fuzz.tar", work / "fuzz.sqlite"
    try:
        write_index(data, index, chunk=1 + len(data) % 5000)
    except TarError as error:
        if 0 <= error.position <= len(data):
            return False
        raise
    archive.write_bytes(data)
    layer = TarLayer(archive, index)
    for path, entry in walk(layer).items():
        name = path.rpartition(b"/")[2]
        assert name not in (b"", b".", b"..")
        assert len(name) <= 255
        assert b"\0" not in name
        if entry.mark is Mark.WHITEOUT:
            continue
        layer.xattrs(entry.ref)
        kind = entry.attributes.mode & 0o170000
        if kind == 0o120000:
            layer.readlink(entry.ref)
        elif kind == 0o100000:
            file = layer.open(entry.ref)
            size = min(entry.attributes.size, 1 << 16)
            assert len(file.read(0, size)) == size
            file.read(max(entry.attributes.size - 10, 0), 100)
            file.extents()
    layer.close()
    return True


def mutate(data: bytes, dice: random.Random) -> bytes:
    """Flip, overwrite, repeat, cut; then mostly mend the checksums, or little would get further."""
    result = bytearray(data)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(result) + 1)
        choice = dice.randrange(5)
        if choice == 0 and result:
            result[at % len(result)] = dice.randrange(256)
        elif choice == 1:
            field = dice.choice(
                [b"\xff" * 12, b"\x80" + bytes(11), b"../", b".wh.", b"77777777777\0", b"/"]
            )
            result[at : at + len(field)] = field
        elif choice == 2:
            block = at // 512 * 512
            result[block:block] = result[block : block + 512 * dice.randint(1, 3)]
        elif choice == 3:
            del result[at : at + dice.randint(1, 2000)]
        elif len(result) > 512:
            block = dice.randrange(len(result) // 512) * 512
            result[block + 156] = dice.choice(b"01234567xgLKSDV\0N")
    if dice.random() < 0.9:
        for start in range(0, len(result) - 511, 512):
            block = result[start : start + 512]
            if block[257:262] == b"ustar":
                block[148:156] = b" " * 8
                result[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    return bytes(result)


def mutation(seeds: Sequence[bytes], dice: random.Random) -> bytes:
    return mutate(dice.choice(seeds), dice)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(fuzz(CORPUS, mutation, lambda data: one_input(data, Path(scratch))))
