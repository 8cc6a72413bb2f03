"""The options of a build that the steps of a stage depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager

from rootless.build.steps.mounts import NO_MOUNT_SOURCES, MountSources
from rootless.runtime.extensions import ChownMode
from rootless.spec.options import DEFAULT_SHM_SIZE, ContainerOptions, HostEntry, Ulimit
from unionfs.light_types import NamedTuple


class Resume(NamedTuple):
    """Going on from steps that failed and whose containers were kept. `changes` gives what was changed in a
    container, as the archive of a layer; `dockerfile` is a path, empty if it is in no file."""

    executes_again: bool
    """Whether the command that failed is executed again."""
    accepts: bool
    """Whether what was typed into the container is written to the Dockerfile."""
    dockerfile: str
    changes: Callable[[str], AbstractContextManager[Iterable[bytes]]]


class StageOptions(NamedTuple):
    """The options of a build that the steps of a stage depend on."""

    build_arguments: Mapping[str, str]
    global_variables: Mapping[str, str]
    """Values of ARG before the first FROM, and of the arguments that tell the platform."""
    escape: str = "\\"
    no_cache: bool = False
    place: str = ""
    """What tells the steps of this stage from those of others."""
    explains: bool = False
    """Show why steps are executed."""
    by_reads: bool = False
    """Find steps by what they read, and record that."""
    network: str = "default"
    hosts: tuple[HostEntry, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int = DEFAULT_SHM_SIZE
    """Bytes."""
    allows_insecure: bool = False
    allows_host_network: bool = False
    """For RUN --network=host in a build without a network."""
    mounts: MountSources = NO_MOUNT_SOURCES
    keep: Callable[[ContainerOptions, str], str] | None = None
    """Makes a container of a step that failed, whose shell records in a directory if that is not empty; its name.
    None: nothing is kept."""
    keeps_shell: bool = False
    """The command of that container is an interactive shell."""
    resume: Resume | None = None
    chown: ChownMode | None = None
    """What chown(2) does in RUN, as in SecurityOptions."""
