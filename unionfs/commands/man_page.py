"""The manual page of rootless-unionfs, in roff, from its help text. Pure but for `main`.

python -m unionfs.commands.man_page > rootless-unionfs.1
"""

from __future__ import annotations

from unionfs import __version__
from unionfs.commands.arguments import HELP, PROGRAM


def man_page() -> str:
    """The page, with the macros of man(7)."""
    usage, _, description = HELP.partition("\n\n")
    return "\n".join(
        [
            f'.TH {PROGRAM.upper()} 1 "" "{PROGRAM} {__version__}" "User Commands"',
            ".SH NAME",
            f"{_escaped(PROGRAM)} \\- union file system over FUSE",
            ".SH SYNOPSIS",
            *_verbatim(usage.removeprefix("usage: ").replace("\n       ", "\n")),
            ".SH DESCRIPTION",
            *_verbatim(description),
            ".SH SEE ALSO",
            ".BR rootless (1),",
            ".BR fuse\\-overlayfs (1),",
            ".BR fusermount3 (1)",
            "",
        ]
    )


def _verbatim(text: str) -> list[str]:
    """Lines as they are: a literal block, in which no line may begin with a request."""
    return [".nf", *(f"\\&{_escaped(line)}" for line in text.rstrip().split("\n")), ".fi"]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


if __name__ == "__main__":
    print(man_page(), end="")
