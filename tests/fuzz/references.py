"""Any text is a reference, a platform, a place for `copy` or none, in one line; what is shown of a
reference means the same one.

python -m tests.fuzz.references [SECONDS [SEED]]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

from rootless.errors import UsageError
from rootless.images.transfer.locations import parse_location
from rootless.oci.platform import parse_platform
from rootless.oci.reference import parse_reference
from tests.fuzz.loop import fuzz, splice

CORPUS = Path(__file__).parent / "corpus" / "references"
TOKENS = (
    *(
        b":",
        b"/",
        b"@",
        b".",
        b"_",
        b"__",
        b"-",
        b"---",
        b"[",
        b"]",
        b"//",
        b"::",
        b"A",
        b"\xc3\x9f",
    ),
    *(
        b"sha256:",
        b"@sha256:" + b"a" * 64,
        b":5000",
        b"docker.io/",
        b"index.docker.io/",
        b"library/",
    ),
    *(b"localhost", b"a" * 130, b"a/" * 130, b"\n", b"\0", b" ", b"\xe2\x80\xae", b"\xd9\xa3"),
)


def one_input(data: bytes) -> None:
    """Raises whatever is no UsageError, and where a round trip does not come back."""
    text = data.decode("utf-8", "surrogateescape")
    for read in (_reference, parse_platform, parse_location):
        refused = ""
        try:
            read(text)
        except UsageError as error:
            refused = error.message
        assert "\n" not in refused


def _reference(text: str) -> None:
    reference = parse_reference(text)
    assert parse_reference(str(reference)) == reference
    assert parse_reference(reference.familiar) == reference
    tagged = reference.with_default_tag()
    assert parse_reference(tagged.familiar) == tagged
    # It goes into URLs, file names of annotations, and onto terminals.
    assert str(reference).isascii()
    assert str(reference).isprintable()
    assert " " not in str(reference)
    assert ".." not in reference.path.split("/")


def mutate(seeds: Sequence[bytes], dice: random.Random) -> bytes:
    return splice(seeds, dice, TOKENS)


if __name__ == "__main__":
    sys.exit(fuzz(CORPUS, mutate, one_input))
