"""A recipe: the results of a rank that others with the same command line reuse.

    RUNROOT/join/<hash of step and command line>.recipe         what such ranks execute, and what that depends on
    RUNROOT/join/<hash of step and command line>.recipe.lock    held by the rank that writes it

Reading options, configuration files and the rest of a command line takes as long as entering the container. 64 ranks that
start at one time would all do it: one has the lock and does, the others wait and take the recipe. It holds for the same
arguments, working directory, variables other than the launcher's, and unchanged configuration files; every other
rank reads its command line itself. The monitor removes it with the container.
"""

from __future__ import annotations

import os

from rootless.containers.rank_recipes import (
    SUFFIX,
    RankRecipe,
    read_recipe,
    state_of,
    write_recipe,
)
from rootless.containers.storage_paths import StoragePaths
from rootless.durable import acquire_lock
from rootless.launcher import launcher_descriptors, launcher_variables
from rootless.oci.digest import hex_of, sha256_digest
from rootless.paths import (
    SITE_CONFIGURATION,
    containers_conf_files,
    runtime_root,
    storage_conf_files,
    user_configuration,
)
from rootless.private_directory import make_private_directory
from rootless.ranks.entering import find, join, rank_args
from rootless.ranks.rank import RankCommand, launch_here, tag_here
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from rootless.containers.rank_recipes import Inputs
    from rootless.durable import LockFile
    from rootless.runtime.join import JoinArgs

_FIRST_DESCRIPTOR = 3


class Claim:
    """The recipe that this process is to write: it holds the lock for which others wait."""

    def __init__(
        self, path: str, inputs: Inputs, environ: Mapping[str, str], lock: LockFile
    ) -> None:
        self._path = path
        self._environ = environ
        self._inputs = inputs
        self._lock: LockFile | None = lock

    def write(self, command: RankCommand, preserved: int, files: Sequence[str]) -> None:
        """Write what ranks execute, with `preserved` descriptors that their launcher does not name. `files`: what else
        was read for that, beside the configuration.
        """
        read = (
            SITE_CONFIGURATION,
            user_configuration(self._environ),
            *storage_conf_files(self._environ),
            *containers_conf_files(self._environ),
            *files,
        )
        # What a stream has given to one rank, and what the launcher has, is not that of another.
        is_own = not all(map(os.path.isfile, files)) or any(
            launcher_variables({name: "" for name, _ in command.variables})
        )
        recipe = RankRecipe(
            self._inputs,
            [(each, state_of(each)) for each in read],
            command.state,
            None if is_own else _plain(command, preserved),
        )
        write_recipe(self._path, recipe)

    def release(self) -> None:
        """Let other ranks go on. Idempotent."""
        if self._lock is not None:
            self._lock.unlock()
            self._lock = None


class Entry(NamedTuple):
    """What enters the container: `descriptors` are those that the command gets."""

    args: JoinArgs
    descriptors: tuple[int, ...]


def entry_by_recipe(arguments: Sequence[str], environ: Mapping[str, str]) -> Entry | Claim | None:
    """What makes this process a rank, if another rank with the same arguments has left a recipe, and the container
    runs or is being made; else the recipe that this process is to write, or None if there is one that does not hold.

    Raises RootlessError, OSError.
    """
    runtime = runtime_root(environ, os.getuid())
    directory = f"{runtime}/join"
    for each in (runtime, directory):
        make_private_directory(each, "ROOTLESS_RUNROOT")
    own = launcher_variables(environ)
    others = sorted(f"{name}={text}" for name, text in environ.items() if name not in own)
    inputs: Inputs = (list(arguments), os.getcwd(), _digest(others))
    path = f"{directory}/{_digest((_step(arguments, environ), *arguments))[:24]}{SUFFIX}"
    if not os.path.exists(path):
        lock = acquire_lock(f"{path}.lock")
        assert lock is not None  # it is waited for
        if not os.path.exists(path):
            return Claim(path, inputs, environ, lock)
        lock.unlock()
    recipe = read_recipe(path)
    if recipe is None or recipe.command is None or not _holds(recipe, inputs):
        return None
    command, preserved = _from_plain(recipe.command)
    descriptors = (
        *range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + preserved),
        *launcher_descriptors(environ),
    )
    for descriptor in descriptors:
        os.fstat(descriptor)
    found = find(command.state)
    if found is None:
        being_made = acquire_lock(f"{command.state}.lock")
        found = find(command.state)
        if being_made is not None:
            being_made.unlock()
    client = None if found is None else join(found, command.paths)
    if found is None or client is None:
        return None
    args = rank_args(found, client, command, own)
    return None if args is None else Entry(args, descriptors)


def _step(arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """What ranks with one command line have in common. A tag of `run --join` is on the command line."""
    if arguments[0] == "hpc":
        return tag_here(environ)
    launch = launch_here(environ)
    return "" if launch is None else f"{launch.launcher} {launch.tag}"


def _digest(texts: Iterable[str]) -> str:
    return hex_of(sha256_digest("\0".join(texts).encode(errors="surrogateescape")))


def _holds(recipe: RankRecipe, inputs: Inputs) -> bool:
    files = recipe.files
    return recipe.inputs == inputs and all(state_of(each) == state for each, state in files)


def _plain(command: RankCommand, preserved: int) -> tuple[Any, ...]:
    paths = command.paths
    places = (paths.store, paths.runtime, paths.shared, paths.uppers)
    return (preserved, places, *command[1:])


def _from_plain(plain: tuple[Any, ...]) -> tuple[RankCommand, int]:
    preserved, places, *rest = plain
    return RankCommand(StoragePaths(*places), *rest), preserved
