"""`apply`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rootless.cli.changes.lines import change_line, shown
from rootless.cli.context import Settings, current_directory, engine_of
from rootless.cli.grammar import Command, Flag, GrammarError, Parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.applying.plan import Left
    from rootless.changes.change import Change

INTERACTIVE = Flag(("interactive", "i"), "Ask for each change")
CHECK = Flag(("check",), "Show what would not be applied, and why; change nothing")
UNDO = Flag(("undo",), "Undo the last apply, unless its files have changed since")
THEIRS = Flag(
    ("theirs", "force", "f"), "Take the container's version where the host has changed too"
)
MERGE = Flag(("merge",), "Merge both changes where the host has changed a text file too")


def apply(parsed: Parsed, settings: Settings) -> int:
    """Apply changes. Returns 1 if some were left alone."""
    name, *paths = parsed.arguments
    applying = engine_of(settings).applying(name)
    if parsed[UNDO]:
        if paths or parsed[INTERACTIVE] or parsed[CHECK] or parsed[THEIRS] or parsed[MERGE]:
            raise GrammarError(
                "--undo takes back a whole apply: it takes no paths and no other options"
            )
        left = applying.undo()
        show_left(left)
        return 1 if left else 0
    applied = applying.apply(
        applying.paths_in(paths, current_directory() if paths else "/"),
        chosen=_chooser() if parsed[INTERACTIVE] else None,
        overrules=parsed[THEIRS],
        merges=parsed[MERGE],
        check=parsed[CHECK],
    )
    for path in applied.paths:
        print(shown(path))
    show_left(applied.left)
    return 1 if applied.left else 0


def show_left(left: Sequence[Left]) -> None:
    """Tell, on standard error, what was left alone."""
    for each in left:
        kind = "conflict" if each.is_conflict else "refused"
        print(f"{kind} {shown(each.path)}: {each.reason}", file=sys.stderr)


def _chooser() -> Callable[[Change], bool]:
    """Asks for each change on standard error; `a` stands for all that follow, `q` for none of them."""
    rest: list[bool] = []

    def choose(change: Change) -> bool:
        while not rest:
            question = f"{change_line(change)}\napply? [y]es, [n]o, [a]ll, [q]uit: "
            print(question, end="", file=sys.stderr, flush=True)
            answer = sys.stdin.readline().strip().lower()[:1]
            if answer in {"a", "q", ""}:
                rest.append(answer == "a")
            elif answer in {"y", "n"}:
                return answer == "y"
        return rest[0]

    return choose


APPLY = Command(
    "apply",
    "Apply the changes of a container to the host's files",
    "CONTAINER [PATH...]",
    (INTERACTIVE, CHECK, UNDO, THEIRS, MERGE),
    apply,
    least=1,
    operand="container",
    description="""Make the changes of a container on the host's files, as the caller: all of them, or
what is at or in PATHs. The host's files are those that it was made of (rootless try), and those of
mounts that are copied on write (-v SOURCE:TARGET:O). Each file is changed completely or not at all. A file that the
host has changed since the command saw it is a conflict, and left alone, unless --theirs or
--merge is given. Devices, set-user-ID files and
files of other users are refused by name. The status is 1 if something was left alone.

An apply that was killed is completed by the next one. --undo takes the last one back, as long as the
container is not dropped.""",
)
