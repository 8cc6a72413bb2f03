"""Any text is a .dockerignore or a DockerfileError. The first line of an input is the path to look up.

python -m tests.fuzz.ignore_files [SECONDS [SEED]]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.ignore import IgnorePatterns, read_ignore_file
from tests.fuzz.loop import fuzz, splice

CORPUS = Path(__file__).parent / "corpus" / "ignore-files"
TOKENS = tuple(
    token.encode()
    for token in (
        *("*", "**", "**/", "/**", "?", "[", "]", "[a-z]", "[^b]", "[\\]]", "\\", "\\*", "!", "#"),
        *(
            "/",
            "//",
            "./",
            "../",
            "..",
            ".",
            "a",
            "b",
            "ab",
            "a/b",
            "\n",
            "\r\n",
            " ",
            "\t",
            "\ufeff",
        ),
        *("a*" * 40, "**/a/" * 20, "a**", "ü", "\0", "{", "(", "|", "+", "$", "^", "-"),
    )
)


def one_input(data: bytes) -> None:
    """Raises whatever is no DockerfileError, and fails where a walk finds something else than a look-up."""
    path, _, text = data.decode("utf-8", "surrogateescape").partition("\n")
    try:
        patterns = IgnorePatterns(read_ignore_file(text))
    except DockerfileError:
        return
    names = path.split("/")
    walked = patterns.root
    pruned = False
    for count in range(1, len(names) + 1):
        above = "/".join(names[:count])
        walked = patterns.walk(above, walked)
        assert not pruned or walked.is_ignored
        pruned = pruned or (walked.is_ignored and not patterns.may_take_in_below(above))
    assert walked.is_ignored == patterns.ignores(path)


def mutate(seeds: Sequence[bytes], dice: random.Random) -> bytes:
    return splice(seeds, dice, TOKENS)


if __name__ == "__main__":
    sys.exit(fuzz(CORPUS, mutate, one_input))
