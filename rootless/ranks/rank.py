"""A rank: one of the processes of a launcher that share a container."""

from __future__ import annotations

import posix

from rootless.containers.process_identity import start_time
from rootless.launcher import launch_of
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.containers.storage_paths import StoragePaths
    from rootless.launcher import Launch
    from rootless.spec.options import ContainerOptions


class Rank(NamedTuple):
    """This process as a rank: the tag of the step, the ranks on this node (0: not known), the variables of the launcher,
    and descriptors that the command gets.
    """

    tag: str
    local_size: int
    variables: Mapping[str, str]
    descriptors: tuple[int, ...] = ()


class RankCommand(NamedTuple):
    """The command that all ranks with the same command line execute, and its place: the directories of the engine,
    and the file `state` by which the container is found. Entry point and command are those that were given, over
    those of the image; `variables`, `workdir` and `user` as in ExecOptions.
    """

    paths: StoragePaths
    state: str
    entrypoint: str | None
    command: tuple[str, ...]
    variables: tuple[tuple[str, str | None], ...]
    workdir: str | None
    user: str | None


def rank_command(options: ContainerOptions, tag: str, paths: StoragePaths) -> RankCommand:
    """The command of the ranks of a step whose container has the options."""
    from rootless.oci.digest import hex_of, sha256_digest

    what = f"{tag}\0{options.image or options.rootfs}\0{paths.store}"
    digest = sha256_digest(what.encode(errors="surrogateescape"))
    return RankCommand(
        paths,
        f"{paths.runtime}/join/{hex_of(digest)[:24]}",
        options.entrypoint,
        tuple(options.command),
        tuple(options.variables),
        options.workdir,
        options.user,
    )


def launch_here(environ: Mapping[str, str]) -> Launch | None:
    """The step that this process belongs to; None if no launcher has started it."""
    return launch_of(environ, _parent())


def tag_here(environ: Mapping[str, str]) -> str:
    """The tag of the step that this process belongs to, or of the processes of its parent if no launcher has started it,
    as with Apptainer.
    """
    launch = launch_here(environ)
    return f"parent {_parent()}" if launch is None else f"{launch.launcher} {launch.tag}"


def _parent() -> str:
    parent = posix.getppid()
    return f"{parent}-{start_time(parent)}"
