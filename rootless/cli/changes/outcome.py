"""Shows the changes of a tried command, and asks what to do with them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rootless.cli.changes.lines import change_line

if TYPE_CHECKING:
    from rootless.engine import Engine

_MOST = 40
"""Changes that are shown without being asked for."""


def decide(engine: Engine, name: str, *, asks: bool, is_traced: bool) -> None:
    """Keep the changes of a container, or with `asks` show them on standard error and do what is answered. One that
    is traced is kept also if it has changed nothing.
    """
    if not asks:
        _say_kept(name)
        return
    found = [each for each in engine.changes(name).listed() if not each.is_bare]
    if not found:
        if is_traced:
            print(f"rootless: no file was changed; rootless trace {name}", file=sys.stderr)
            return
        print("rootless: no file was changed", file=sys.stderr)
        engine.remove(name)
        return
    for each in found[:_MOST]:
        print(change_line(each), file=sys.stderr)
    if len(found) > _MOST:
        print(f"... and {len(found) - _MOST} more (rootless changes {name})", file=sys.stderr)
    while True:
        answer = _answer()
        if answer in {"v", "view"}:
            _show_diff(engine, name)
        elif answer in {"a", "apply"}:
            apply_all(engine, name)
            return
        elif answer in {"d", "drop"}:
            engine.remove(name)
            return
        elif answer in {"", "k", "keep"}:
            _say_kept(name)
            return


def apply_all(engine: Engine, name: str) -> int:
    """Apply the changes, and report what was left alone. Returns 1 if something was."""
    from rootless.cli.changes.apply import show_left

    applied = engine.applying(name).apply()
    plural = "change" if len(applied.paths) == 1 else "changes"
    show_left(applied.left)
    print(
        f"rootless: applied {len(applied.paths)} {plural}; rootless apply --undo {name} takes them back, "
        f"rootless drop {name} forgets how",
        file=sys.stderr,
    )
    return 1 if applied.left else 0


def _answer() -> str:
    print(
        "[a]pply, [k]eep, [d]rop or [v]iew the differences? ", end="", file=sys.stderr, flush=True
    )
    line = sys.stdin.readline()
    if not line:
        print(file=sys.stderr)
        return "keep"
    return line.strip().lower() or "k"


def _show_diff(engine: Engine, name: str) -> None:
    from rootless.cli.changes.changes import visible

    with engine.changes(name).diff() as pieces:
        for piece in pieces:
            sys.stderr.buffer.write(visible(piece))
    sys.stderr.flush()


def _say_kept(name: str) -> None:
    print(f"rootless: kept as {name}: rootless changes {name}", file=sys.stderr)
