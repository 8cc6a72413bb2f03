"""RUN --mount: the files that a command sees besides those of its stage, and those of them that must not get into the
layer.

* A bind mount of the whole of a plain directory is one of the kernel's, read-only. Of anything else (files of
  a stage, of an image, of a context with a .dockerignore, or one that may be written to) the files are
  written to an archive that is read as a further layer; what the command changes there is thrown away.
* A cache mount is a directory below the store, kept for later builds.
* A secret is a file in the runtime directory, which is in memory, for the time of the command.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rootless.build.errors import BuildError
from rootless.build.files.copying import CopyItem, CopyPlan, copy_members, not_found
from rootless.build.files.digests import digest_of_items
from rootless.build.files.selection import clean, resolved_path
from rootless.build.files.sources import HostSource, Source
from rootless.build.outputs import copy_to_host
from rootless.build.workspace import Workspace
from rootless.containers.delete_tree import remove_container_tree
from rootless.dockerfile.syntax.mounts import (
    BindMount,
    CacheMount,
    Mount,
    SecretMount,
    SshMount,
    TmpfsMount,
)
from rootless.durable import acquire_lock, locked
from rootless.runtime.idmap import IdMaps
from rootless.spec.options import Bind, Tmpfs, UserMount
from rootless.store.build_cache import mounts_directory
from rootless.store.decompression import Limits
from rootless.store.layer_writing import LAYER_INDEX, LAYER_TAR, write_made_layer
from unionfs.light_types import NamedTuple
from unionfs.tar.writer import opaque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.layout import Store

_SSH_SOCKET = "/run/buildkit/ssh_agent.{}"
_NAMESPACE = "BUILDKIT_CACHE_MOUNT_NS"


class MountSources(NamedTuple):
    """The sources of mounts from the command line. `secrets`: reads one by its id; None if there is none. `agents`:
    paths of sockets of SSH agents by id. `runtime`: a directory in memory, of the account's own.
    """

    secrets: Callable[[str], bytes | None]
    agents: Mapping[str, str]
    runtime: str


NO_MOUNT_SOURCES = MountSources(lambda _: None, {}, "/nonexistent")


class Mounted(NamedTuple):
    """The mounts of a command. `layers`: (archive, index) of further layers, the lowest first; `hidden`: where
    changes are thrown away, without slashes at the ends.
    """

    mounts: tuple[UserMount, ...]
    environment: Mapping[str, str]
    layers: tuple[tuple[str, str], ...]
    hidden: tuple[bytes, ...]


def mount_inputs(
    mounts: Sequence[Mount],
    source_of: Callable[[str], Source],
    workspace: Workspace,
) -> list[list[object]]:
    """The inputs of a command's mounts that its result depends on: everything but what caches hold and secrets are."""
    found: list[list[object]] = []
    for mount in mounts:
        fields: list[object] = [type(mount).__name__, *mount]
        if isinstance(mount, BindMount):
            item = _bind_item(mount, source_of)
            fields.append(digest_of_items([item], workspace.digests_of))
        found.append(fields)
    return found


def _bind_item(mount: BindMount | CacheMount, source_of: Callable[[str], Source]) -> CopyItem:
    source = source_of(mount.from_stage)
    path = os.fsencode(clean(mount.source))
    resolved = resolved_path(source, path)
    if resolved is None:
        raise not_found(path)
    return CopyItem(source, resolved, path.rpartition(b"/")[2])


class MountPreparer:
    """Prepares the mounts of one command. What it makes and locks ends with `stack`."""

    def __init__(
        self,
        workspace: Workspace,
        maps: IdMaps,
        given: MountSources,
        source_of: Callable[[str], Source],
        stack: ExitStack,
    ) -> None:
        self._workspace = workspace
        self._maps = maps
        self._given = given
        self._source_of = source_of
        self._stack = stack
        self._mounts: list[UserMount] = []
        self._environment: dict[str, str] = {}
        self._layers: list[tuple[str, str]] = []
        self._hidden: list[bytes] = []

    def prepare(self, mounts: Sequence[Mount], directory: str, namespace: str) -> Mounted:
        """`directory` is the working directory, which targets are relative to; `namespace` keeps caches of the
        same id apart. Raises BuildError."""
        for number, mount in enumerate(mounts):
            target = posixpath.normpath(posixpath.join("/", directory, mount.target))
            if target == "/" and not isinstance(mount, SecretMount | SshMount):
                raise BuildError('invalid mount target "/"')
            match mount:
                case BindMount():
                    self._bind(mount, target, number)
                case CacheMount():
                    self._cache(mount, target, namespace)
                case TmpfsMount():
                    size = (f"size={mount.size}",) if mount.size else ()
                    self._mounts.append(Tmpfs(target, ("exec", *size)))
                case SecretMount():
                    self._secret(mount, target, number)
                case SshMount():
                    self._agent(mount, target, number)
        return Mounted(
            tuple(self._mounts), self._environment, tuple(self._layers), tuple(self._hidden)
        )

    def _bind(self, mount: BindMount, target: str, number: int) -> None:
        item = _bind_item(mount, self._source_of)
        if mount.read_only and isinstance(item.source, HostSource):
            path = item.source.path_on_host(item.path)
            self._mounts.append(Bind(path, target, read_only=True))
            return
        entry = item.source.entry(item.path)
        assert entry is not None  # _bind_item has looked
        plan = CopyPlan((item,), target, link=True)
        empty = self._workspace.snapshot(())
        self._stack.callback(empty.close)
        members = copy_members(plan, empty)
        if entry.attributes.mode & 0o170000 == 0o040000:
            # Nothing of what the stage has there is seen.
            members = iter([*members, (opaque(os.fsencode(target.strip("/"))), iter(()))])
        place = self._workspace.scratch / f"mount-{number}-{os.urandom(4).hex()}"
        blob = place.with_name(f"{place.name}-blob")
        write_made_layer(members, place, blob, "a bind mount", Limits())
        blob.unlink()
        self._layers.append((str(place / LAYER_TAR), str(place / LAYER_INDEX)))
        self._hidden.append(os.fsencode(target.strip("/")))

    def _cache(self, mount: CacheMount, target: str, namespace: str) -> None:
        identity = f"{namespace}/{mount.id}"
        if mount.from_stage:
            # As in BuildKit, caches that begin with other files are others.
            item = _bind_item(mount, self._source_of)
            identity += f":{digest_of_items([item], self._workspace.digests_of)}"
        place = cache_mount_directory(self._workspace.store, identity)
        data = f"{place}/data"
        number = 0
        while True:
            os.makedirs(place, 0o700, exist_ok=True)
            if mount.sharing == "shared":
                lock = acquire_lock(f"{place}/.lock", shared=True)
            else:
                lock = acquire_lock(f"{place}/.lock", wait=mount.sharing == "locked")
            if lock is not None:
                break
            number += 1
            place = cache_mount_directory(self._workspace.store, f"{identity}/{number}")
            data = f"{place}/data"
        self._stack.callback(lock.release)
        # Several builds may need it for the first time at once.
        with locked(f"{place}/.making"):
            if not os.path.isdir(data):
                self._fill_cache(mount, place)
        os.utime(place)
        self._mounts.append(Bind(data, target, read_only=mount.read_only))

    def _fill_cache(self, mount: CacheMount, place: str) -> None:
        """Make its directory, which has its name once it is whole."""
        from rootless.runtime.user_namespace import run_in_user_namespace

        with open(f"{place}/id", "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(mount.id)
        data = f"{place}/.new"
        remove_container_tree(data)
        os.mkdir(data, 0o700)
        if mount.from_stage:
            item = _bind_item(mount, self._source_of)
            copy_to_host(item.source, item.path, Path(data))
        owner = mount.uid or 0, mount.gid or 0
        if owner != (0, 0) and not self._maps.single:
            run_in_user_namespace(self._maps, lambda: os.chown(data, *owner))
            mode = 0o755 if mount.mode is None else mount.mode
            run_in_user_namespace(self._maps, lambda: os.chmod(data, mode))
        else:
            os.chmod(data, 0o755 if mount.mode is None else mount.mode)
        os.rename(data, f"{place}/data")

    def _secret(self, mount: SecretMount, target: str, number: int) -> None:
        content = self._given.secrets(mount.id)
        if content is None:
            if mount.required:
                raise BuildError(f"secret {mount.id}: not found")
            return
        if mount.env:
            self._environment[mount.env] = content.decode(errors="surrogateescape")
        if not mount.target:
            return
        directory = f"{self._given.runtime}/build-{os.getpid()}"
        os.makedirs(directory, 0o700, exist_ok=True)
        path = f"{directory}/secret-{number}-{os.urandom(4).hex()}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._stack.callback(_forget, path, directory)
        with open(descriptor, "wb") as file:
            file.write(content)
        self._own(path, mount.uid, mount.gid, mount.mode)
        self._mounts.append(Bind(path, target, read_only=True))

    def _own(self, path: str, uid: int, gid: int, mode: int) -> None:
        os.chmod(path, mode)
        if (uid, gid) != (0, 0) and not self._maps.single:
            from rootless.runtime.user_namespace import run_in_user_namespace

            # The directory above can be passed by its owner alone, whom the namespace calls root.
            run_in_user_namespace(self._maps, lambda: os.chown(path, uid, gid))

    def _agent(self, mount: SshMount, target: str, number: int) -> None:
        agent = self._given.agents.get(mount.id)
        if agent is None:
            if mount.required:
                raise BuildError(
                    f"unset ssh forward key {mount.id}",
                    hint=f"give the socket of an agent: --ssh {mount.id}",
                )
            return
        where = target if mount.target else _SSH_SOCKET.format(number)
        self._mounts.append(Bind(agent, where))
        self._environment["SSH_AUTH_SOCK"] = where


def cache_mount_directory(store: Store, name: str) -> str:
    """Where the files of a cache mount lie."""
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
    return f"{mounts_directory(store)}/{digest[:32]}"


def cache_namespace(build_arguments: Mapping[str, str]) -> str:
    """The namespace of a build's caches: BUILDKIT_CACHE_MOUNT_NS."""
    return build_arguments.get(_NAMESPACE, "")


def _forget(path: str, directory: str) -> None:
    os.unlink(path)
    try:
        os.rmdir(directory)
    except OSError:
        pass  # another secret of the same command
