"""Finds the containers that a command acts on: those of its arguments, the one that was created last, or those that
podman's options --all, --filter and --cidfile select.
"""

from __future__ import annotations

import os
import time

from rootless.cli.grammar import Flag, GrammarError, Texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from rootless.cli.grammar import Parsed
    from rootless.containers.status import Status
    from rootless.engine import Engine

    Statuses: TypeAlias = Sequence[Status]

LATEST = Flag(("latest", "l"), "Act on the container that was created last")
ONLY_LATEST = Flag(("latest",), LATEST.help)
"""For commands where -l is another option of docker's."""
CIDFILE = Texts(("cidfile",), "Read the container ID from the file", "FILE")
FILTER = Texts(
    ("filter", "f"),
    "Act on the containers that pass the conditions, which are those of ps",
    "FILTER",
)
LONG_FILTER = Texts(("filter",), FILTER.help, "FILTER")
"""For commands where -f is another option of docker's."""
IGNORE = Flag(("ignore", "i"), "Ignore containers that do not exist")


def all_flag(effect: str, *shorthands: str) -> Flag:
    """The row of --all. It is read by `ALL`, as every row with this long name."""
    return Flag(("all", *shorthands), effect)


ALL = all_flag("")


def chosen(parsed: Parsed, engine: Engine, command: str) -> Sequence[str]:
    """Names or ids. Raises GrammarError where there are neither arguments nor --latest, or both."""
    if parsed[LATEST]:
        if parsed.arguments:
            raise GrammarError("--latest and containers cannot be used together")
        return (engine.latest(),)
    if not parsed.arguments:
        raise GrammarError(f"'rootless {command}' requires at least 1 argument", exit_status=1)
    return parsed.arguments


def with_latest(
    parsed: Parsed, engine: Engine, command: str, least: int = 1, most: int | None = None
) -> Sequence[str]:
    """The arguments, with the id of the latest container before them where --latest is given. Raises GrammarError where
    they are fewer than `least` or more than `most`."""
    words = (engine.latest(), *parsed.arguments) if parsed[LATEST] else parsed.arguments
    if len(words) >= least and (most is None or len(words) <= most):
        return words
    if parsed[LATEST] and len(words) > least:
        raise GrammarError("--latest and containers cannot be used together")
    if most == least:
        need = f"{least} argument{'s' * (least != 1)}"
    elif most is None:
        need = f"at least {least} argument{'s' * (least != 1)}"
    else:
        need = f"at least {least} and at most {most} arguments"
    raise GrammarError(f"'rootless {command}' requires {need}", exit_status=1)


def from_cidfile_or_latest(
    parsed: Parsed, engine: Engine, command: str, least: int
) -> Sequence[str]:
    """As `with_latest`, for a command on one container that has --cidfile as well."""
    if not parsed[CIDFILE]:
        return with_latest(parsed, engine, command, least)
    if parsed[LATEST] or len(parsed[CIDFILE]) > 1:
        raise GrammarError("--cidfile names one container: use it once, and without --latest")
    return (_first_line(parsed[CIDFILE][0]), *parsed.arguments)


def selected(
    parsed: Parsed, engine: Engine, command: str, statuses: Statuses, *, ignore: bool = False
) -> Sequence[str]:
    """As `chosen`, for a command that has --all, --filter and --cidfile as well. --all and --filter select ids in full,
    newest first, of containers of `statuses`; none for any. Of containers that are named, --filter leaves those that pass.
    `ignore`: pass over files of --cidfile that do not exist.

    Raises GrammarError, and UsageError for a filter or a file that cannot be read.
    """
    if parsed[ALL] and (parsed.arguments or parsed[LATEST] or parsed[CIDFILE]):
        raise GrammarError("--all and containers cannot be used together")
    if parsed[CIDFILE] and parsed[LATEST]:
        raise GrammarError("--latest and --cidfile cannot be used together")
    files = [path for path in parsed[CIDFILE] if not ignore or os.path.exists(path)]
    named = (*parsed.arguments, *map(_first_line, files))
    if parsed[CIDFILE] and not named:
        return ()
    if parsed[ALL] or parsed[FILTER]:
        return _that_pass(parsed, engine, statuses, named)
    return named or chosen(parsed, engine, command)


def _that_pass(
    parsed: Parsed, engine: Engine, statuses: Statuses, named: Sequence[str]
) -> Sequence[str]:
    from rootless.cli.flags.filters import container_filters
    from rootless.cli.shared_options import filter_pairs

    filters = container_filters(filter_pairs(parsed, FILTER), time.time())
    found = engine.find_containers(filters, everything=True)
    if named:
        passed = {each.id for each in found}
        return [name for name in named if engine.container_id(name) in passed]
    return [each.id for each in found if not statuses or each.status in statuses]


def _first_line(path: str) -> str:
    from rootless.cli.context import read_text

    return read_text(path).partition("\n")[0].strip()
