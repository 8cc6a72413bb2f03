"""Any text is a Go template that prints something, or a TemplateError in one line.

python -m tests.fuzz.templates [SECONDS [SEED]]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

from rootless.gotemplate import Struct, TemplateError, parse
from tests.fuzz.loop import fuzz, splice

CORPUS = Path(__file__).parent / "corpus" / "templates"
DATA = {
    "Name": "web",
    "Empty": "",
    "Zero": 0,
    "Pid": 42,
    "Half": 0.5,
    "Running": True,
    "Null": None,
    "List": ["a", "b", 3],
    "Labels": {"a.b": "value", "n": 1},
    "Deep": {"State": {"Running": True, "Health": None}},
    "Label": lambda key: "value" if key == "a.b" else "",
    "Row": Struct("formatter.row", {"ID": "abc", "Method": lambda: "called"}),
}
TOKENS = tuple(
    token.encode()
    for token in (
        *("{{", "}}", "{{-", "-}}", "{{/*", "*/}}", "|", "(", ")", ".", "$", "$x", ":=", "=", ","),
        *("{{end}}", "{{else}}", "{{range .List}}", "{{if .Zero}}", "{{with .Deep}}", "{{break}}"),
        *("{{continue}}", '{{define "t"}}', '{{template "t" .}}', '{{block "b" .}}', "nil", "true"),
        *(".Name", ".List", ".Labels", ".Row", ".Row.ID", ".Label", ".Null", ".Missing", '"%v %d"'),
        *(
            "json",
            "split",
            "join",
            "title",
            "lower",
            "upper",
            "pad",
            "truncate",
            "println",
            "print",
        ),
        *("printf", "index", "slice", "len", "html", "js", "urlquery", "call", "and", "or", "not"),
        *("eq", "ne", "lt", "le", "gt", "ge", "0x1p4", "1e9", "-1", "99999999999999999999", "'a'"),
        *("`raw`", '"\\u00e9"', '"\\xff"', '"%*d"', '"%.999999999f"', '"%999999999d"', "{{(", "))"),
        *("'\\''", '"%c"', '"%U"', '"%q"', '"%x"', "1_000", "0b2", "0o9", ".5e", "\u2028", "\0"),
    )
)


def one_input(data: bytes) -> None:
    """Raises whatever is no TemplateError."""
    text = data.decode("utf-8", "surrogateescape")
    for missing_key in ("default", "error"):
        shown = "template: "
        try:
            parse(text).render(DATA, missing_key=missing_key)  # type: ignore[arg-type]
        except TemplateError as error:
            shown = str(error)
        assert shown.startswith("template: ")


def mutate(seeds: Sequence[bytes], dice: random.Random) -> bytes:
    return splice(seeds, dice, TOKENS)


if __name__ == "__main__":
    sys.exit(fuzz(CORPUS, mutate, one_input))
