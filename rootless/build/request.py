"""The values of a build: its options, its interface to the engine, and its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager

from rootless.build.cache.options import CacheExport, CacheImport
from rootless.build.files.context import ContextRequest
from rootless.build.outputs import Output
from rootless.build.provenance import ProvenanceOptions
from rootless.runtime.extensions import ChownMode
from rootless.spec.options import DEFAULT_SHM_SIZE, ContainerOptions, HostEntry, Ulimit
from unionfs.light_types import Enum, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from rootless.oci.manifest import Descriptor
    from rootless.oci.platform import Platform
    from rootless.oci.reference import Reference
    from rootless.store.image import Image
    from rootless.store.layout import Store

FindImage: TypeAlias = "Callable[[str, Platform | None, bool], Image]"


class BuiltImage(NamedTuple):
    """The result: the id, the manifest, or the index of several platforms, and the names; empty where the output is
    not an image. The id of an index is its digest."""

    id: str = ""
    descriptor: Descriptor | None = None
    tags: tuple[Reference, ...] = ()


class SecretSource(NamedTuple):
    """Where a secret is: in a file, or in a variable of the environment."""

    id: str
    path: str | None = None
    variable: str | None = None


class BuildSubject(Enum):
    """What `build --call` prints about a Dockerfile."""

    TARGETS = "targets"
    """Its stages."""
    OUTLINE = "outline"
    """The arguments, secrets and SSH agents that a build takes."""


class BuildHost(NamedTuple):
    """The engine's functions for a build. `find_image` finds an image by its name for a platform, and pulls it
    again if the third argument is true. `runtime` is the runtime directory.
    """

    store: Store
    find_image: FindImage
    environ: Mapping[str, str]
    runtime: str
    forget: Callable[[str], None]
    """Removes an entry of the index of names by its digest, with the objects that only this entry needs."""
    create: Callable[[ContainerOptions, str], str]
    """Creates a container and returns its name. Its shell records in the directory of the second argument,
    unless that is empty.
    """
    changes: Callable[[str], AbstractContextManager[Iterable[bytes]]]
    """The changes of a container, as the archive of a layer. Raises NotFoundError."""
    uppers: str = ""
    """A directory for the writable layers of steps; empty where they are in the store."""


class BuildRequest(NamedTuple):
    """The options of a build. Paths are of the host."""

    context: ContextRequest
    tags: tuple[str, ...] = ()
    build_arguments: Mapping[str, str] = {}
    target: str = ""
    labels: Mapping[str, str] = {}
    platforms: tuple[Platform, ...] = ()
    """The target platforms; none: that of this machine."""
    no_cache: bool = False
    pull: bool = False
    network: str = "default"
    """Of RUN: default, host or none."""
    hosts: tuple[HostEntry, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int = DEFAULT_SHM_SIZE
    """Bytes."""
    chown: ChownMode | None = None
    """The effect of chown(2) in RUN, as in SecurityOptions."""
    allows_insecure: bool = False
    allows_host_network: bool = False
    """For RUN --network=host in a build without a network."""
    secrets: tuple[SecretSource, ...] = ()
    agents: Mapping[str, str] = {}
    """Sockets of SSH agents by id."""
    contexts: Mapping[str, str] = {}
    """Named contexts: a directory, docker-image://NAME, oci-layout://DIRECTORY[:TAG], or a URL."""
    outputs: tuple[Output, ...] = (Output(),)
    uncached_stages: tuple[str, ...] = ()
    """Names of stages that are built without the cache."""
    annotations: Mapping[str, str] = {}
    """Of the manifest."""
    cache_from: tuple[CacheImport, ...] = ()
    """Caches of other builds to read."""
    cache_to: tuple[CacheExport, ...] = ()
    """Where the cache of this build is written."""
    by_reads: bool = False
    """Find a RUN whose parent has changed by the files that it read."""
    jobs: int = 1
    """Maximum number of stages that are built at the same time."""
    explains: bool = False
    """Show for each step that is executed why it was not found in the cache."""
    keeps_failed: bool = False
    """Leave a container with the files of a RUN that failed."""
    keeps_shell: bool = False
    """The command of that container is an interactive shell in place of the RUN's."""
    provenance: ProvenanceOptions | None = None
    """The provenance attestation; None: none."""
    resumes: bool = False
    """Continue from the kept container of a failed step: execute its command again."""
    accepts: bool = False
    """Continue from such a container: write what was typed in it to the Dockerfile."""
    squash: bool = False
    """Merge the layers over the base into one."""
