"""The files of recipes for ranks with the same command line (`rootless.ranks.recipe`)."""

from __future__ import annotations

import posix
from marshal import dumps, loads

from rootless.light_stdlib import read_file
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Inputs: TypeAlias = tuple[list[str], str, str]
    """Arguments, working directory, digest of the variables that are not the launcher's."""
    State: TypeAlias = tuple[int, int, int] | None
    """Of a file: inode number, time and size; None if it is not there."""

_FORMAT = 2
SUFFIX = ".recipe"


class RankRecipe(NamedTuple):
    """`files`: what was read, with its state then. `state`: the file that names the container of the step. `entering`: plain
    values by which the others enter, None if each rank has to read its command line itself.
    """

    inputs: Inputs
    files: list[tuple[str, State]]
    state: str
    entering: tuple[Any, ...] | None


def write_recipe(path: str, recipe: RankRecipe) -> None:
    """Raises OSError."""
    from rootless.durable import write_atomically

    write_atomically(path, dumps((_FORMAT, *recipe)), 0o600, durable=False)


def read_recipe(path: str) -> RankRecipe | None:
    """None if this release cannot read it. Raises FileNotFoundError."""
    try:
        found, *values = loads(read_file(path))
        return RankRecipe(*values) if found == _FORMAT else None
    except FileNotFoundError:
        raise
    except (OSError, EOFError, ValueError, TypeError):
        return None


def remove_recipes(state: str) -> None:
    """Remove those of a step whose container has ended, with their locks."""
    directory = state.rpartition("/")[0]
    try:
        names = posix.listdir(directory)
    except OSError:
        return
    for path in [f"{directory}/{name}" for name in names if name.endswith(SUFFIX)]:
        try:
            recipe = read_recipe(path)
            if recipe is not None and recipe.state == state:
                posix.unlink(path)
                posix.unlink(f"{path}.lock")
        except OSError:
            continue


def state_of(path: str) -> State:
    """The state of a file by which a later change is seen."""
    try:
        found = posix.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
