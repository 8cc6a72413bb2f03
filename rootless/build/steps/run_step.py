"""Executes the command of a RUN in a container over the files of a stage. Its changes are in the upper afterwards.

The container belongs to the process that builds: it has neither a record nor a monitor, and ends with
that process. Its file server is forked from here, with all that it needs imported already.
"""

from __future__ import annotations

import itertools
import os
import select
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rootless.containers.create import write_readable
from rootless.containers.directory import new_container_id
from rootless.containers.launch_description import ImageTree, LaunchDescription
from rootless.containers.record import ContainerRecord
from rootless.containers.writable_layers.place import layer_directory, link_layer, make_layer
from rootless.containers.writable_layers.uppers import new_layer_of_build, remove_abandoned
from rootless.durable import remove_tree
from rootless.errors import LaunchError, RootlessError
from rootless.light_stdlib import signal
from rootless.network.options import HOST, NONE, NetworkOptions
from rootless.rootfs import union
from rootless.runtime.account import read_id_maps
from rootless.runtime.extensions import ChownMode
from rootless.runtime.idmap import IdMaps
from rootless.runtime.parent import ContainerProcess, LaunchArgs, Stdio, create
from rootless.spec.check_options import check_options
from rootless.spec.etc_files import APT_DIRECTORY, etc_files
from rootless.spec.gather_host import gather_host_facts, host_resolv_conf
from rootless.spec.host import HostFacts
from rootless.spec.options import (
    ROOT_IS_CALLER,
    Bind,
    ContainerOptions,
    HostEntry,
    SecurityOptions,
    Ulimit,
    UserMount,
)
from rootless.spec.runtime_spec import make_spec
from rootless.spec.seccomp_profile import profile_of
from rootless.spec.storage_driver import StorageDriver
from rootless.supervisor.file_servers.file_server import FileServer, WatchedServer
from rootless.supervisor.owners.owner_recording import OwnerRecording
from rootless.syscalls import capabilities
from unionfs.changes.snapshot import Snapshot
from unionfs.directory.upper_readonly import ReadOnlyUpper
from unionfs.ownership import Ownership
from unionfs.session import device  # noqa: F401 - for the file server, which is forked from here
from unionfs.traced.trace import Access, Record, decode

HOSTNAME = "buildkitsandbox"
"""BuildKit's: programs that write it down make the same files with both."""

_SERVER_GRACE = 10.0
_MAX_REPLACEMENTS = 20
"""How many file servers of one command are replaced: the cause may be a request that comes back to each."""
_CHUNK = 65536

Output = Callable[[int, bytes], None]
"""Called with 1 or 2 and what was written there."""


class RunOptions(NamedTuple):
    """A command of a build: what docker's RUN and the flags of build say of it."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str = "/"
    user: str = ""
    network: str = "host"
    """default and host: that of the host; none: none."""
    insecure: bool = False
    mounts: tuple[UserMount, ...] = ()
    hosts: tuple[HostEntry, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int = 64 << 20
    chown: ChownMode | None = None
    script: tuple[str, bytes] | None = None
    """A program that is executed by this absolute path: a here-document that names its interpreter."""
    is_traced: bool = False
    """Find out what the command sees of the files below."""


class FinishedRun(NamedTuple):
    """A command that has ended, while its files are there: `changed` opens what it has made of them.
    `trace`: what it saw of the layers below; None if that was not asked for, or is not known."""

    status: int
    changed: Callable[[], Snapshot]
    mountpoints: list[bytes]
    trace: list[Record] | None


class StepRunner:
    """Runs commands one after the other. `scratch` is a directory of the process's own, `uppers` one for writable layers
    that the user's processes share, empty where they are in `scratch`.
    """

    def __init__(self, scratch: Path, seccomp_cache: str, uppers: str = "") -> None:
        self._scratch = scratch
        self._seccomp_cache = seccomp_cache
        self._uppers = uppers
        if uppers:
            remove_abandoned(uppers)
        self._count = 0
        self.maps: IdMaps = read_id_maps(ROOT_IS_CALLER)
        self._host: HostFacts = gather_host_facts(limits=True)

    @contextmanager
    def run(self, tree: ImageTree, options: RunOptions, output: Output) -> Iterator[FinishedRun]:
        """Run a command to its end. Its files are removed at the end of the block.

        Raises LaunchError if it cannot be executed, RootlessError if its files could not be served.
        """
        self._count += 1
        directory = self._scratch / f"run-{self._count}"
        for name in ("", "lower", "rootfs"):
            os.mkdir(directory / name)
            os.chmod(directory / name, 0o755)
        place = new_layer_of_build(self._uppers, self._count) if self._uppers else ""
        if place:
            link_layer(str(directory), place)
        else:
            make_layer(str(directory))
        try:
            description = self._describe(directory, tree, options)
            status = _run_to_end(description, output)
            mountpoints = [
                os.fsencode(mount["destination"]) for mount in description.spec["mounts"]
            ]
            trace = _read_trace(description.trace) if options.is_traced else None
            yield FinishedRun(status, lambda: self._snapshot(description), mountpoints, trace)
        finally:
            if place:
                remove_tree(place)
            remove_tree(directory)

    def _describe(self, directory: Path, tree: ImageTree, options: RunOptions) -> LaunchDescription:
        container = ContainerOptions(
            command=options.arguments,
            entrypoint="",
            workdir=options.directory,
            user=options.user or None,
            variables=tuple(options.environment.items()),
            hostname=HOSTNAME,
            hosts=options.hosts,
            mounts=(*options.mounts, *_script_mount(directory, options.script)),
            ulimits=options.ulimits,
            shm_size=options.shm_size,
            network=NetworkOptions(NONE if options.network == NONE else HOST),
            privileged=options.insecure,
            security=(_INSECURE if options.insecure else _SANDBOX)._replace(chown=options.chown),
        )
        check_options(container)
        texts = etc_files(
            container,
            hostname=HOSTNAME,
            host_resolv_conf=host_resolv_conf(),
            id_maps=self.maps,
            has_apt=lambda: union.image_has_directory(tree, APT_DIRECTORY.lstrip("/")),
        )
        del texts["hostname"]
        for name, (_, text) in texts.items():
            write_readable(f"{directory}/{name}", text.encode(errors="surrogateescape"))
        container_id = new_container_id()
        spec = make_spec(
            container,
            container_id=container_id,
            rootfs="rootfs",
            image_config={},
            host=self._host,
            id_maps=self.maps,
            files={target: f"{directory}/{name}" for name, (target, _) in texts.items()},
            seccomp=profile_of(
                container.security.seccomp,
                container.security.capabilities,
                host=self._host,
                read=lambda path: Path(path).read_bytes(),
                privileged=container.privileged,
            ),
        )
        # BuildKit's containers have no such variable.
        spec["process"]["env"] = [
            each for each in spec["process"]["env"] if not each.startswith("HOSTNAME=")
        ] + [
            f"HOSTNAME={value}" for name, value in options.environment.items() if name == "HOSTNAME"
        ]
        return LaunchDescription(
            record=ContainerRecord(id=container_id, name="build", created="", auto_remove=True),
            directory=str(directory),
            spec=spec,
            id_maps=self.maps,
            tree=tree,
            storage_driver=StorageDriver.UNIONFS,
            terminal=False,
            stop_signal=signal.SIGKILL,
            stop_timeout=None,
            cgroup_parent=None,
            seccomp_cache=self._seccomp_cache,
            control_directory="",
            volatile=True,
            is_traced=options.is_traced,
        )

    def _snapshot(self, description: LaunchDescription) -> Snapshot:
        place = layer_directory(description.directory)
        upper = ReadOnlyUpper(
            os.fsencode(f"{place}/upper"),
            os.fsencode(f"{place}/work"),
            ownership=Ownership.DATA,
            base_owner=self.maps.inside(os.getuid(), os.getgid()),
        )
        return Snapshot(union.lower_layers(description.tree), upper)


_SANDBOX = SecurityOptions()
_INSECURE = SecurityOptions(
    capabilities=frozenset(capabilities.NAMES), seccomp="unconfined", unmask_all=True
)


def _script_mount(directory: Path, script: tuple[str, bytes] | None) -> tuple[UserMount, ...]:
    if script is None:
        return ()
    target, content = script
    path = directory / "script"
    path.write_bytes(content)
    path.chmod(0o755)
    return (Bind(str(path), target, read_only=True),)


def _read_trace(path: str) -> list[Record] | None:
    """What was seen of the layers: by the command, and by this engine to decide on its mounts."""
    try:
        records = decode(Path(path).read_bytes())
    except (OSError, ValueError):
        return None  # the file server could not write it: on a full disk, for example
    above = [*itertools.accumulate(os.fsencode(APT_DIRECTORY.strip("/")).split(b"/"), _joined)]
    return [*records, *(Record(each, Access.LOOKUP) for each in above)]


def _joined(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name


def _run_to_end(description: LaunchDescription, output: Output) -> int:
    """The exit status of the command, 128+n where signal n ended it."""
    server = _StepServer(description)
    try:
        status = _run_with_server(description, server, output)
    finally:
        server.end()
    failure = server.failure()
    if failure:
        raise RootlessError(failure)
    return status


class _StepServer:
    """The file server of one command. Another takes the place of one that is killed (decision 1672)."""

    def __init__(self, description: LaunchDescription) -> None:
        self._description = description
        self._replacements = 0
        self._is_watched = True
        self.current = FileServer.fork()
        self.current.describe(description)

    def replace(self) -> bool:
        """After its end: whether another goes on."""
        if self._replacements >= _MAX_REPLACEMENTS or not self.current.can_be_replaced():
            return False
        self._replacements += 1
        self.current = self.current.replace(self._description)
        return True

    def watched(self) -> tuple[int, ...]:
        """A descriptor that can be read when the server has ended; none after that of the last one."""
        return (self.current.pidfd,) if self._is_watched else ()

    def goes_on(self) -> bool:
        """After the end of the server: whether the command can go on, with another or because all is done."""
        if self.replace():
            return True
        self._is_watched = False
        if not self.failure():
            return True
        self.current.let_go()  # else the process would wait for answers and not end
        return False

    def end(self) -> None:
        """After the end of the command; what the kernel has still to write back needs a server."""
        if self.current.was_killed():
            self.replace()
        self.current.end(_SERVER_GRACE)

    def failure(self) -> str:
        """Why it ended too early, in one line; empty if it did not."""
        return "" if self.current.is_finished() else self.current.exit_reason()


def _run_with_server(description: LaunchDescription, server: _StepServer, output: Output) -> int:
    pipes = [os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)]
    source = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        process = create(
            LaunchArgs(
                spec=description.spec,
                bundle=description.directory,
                rootfs=description.rootfs,
                id_maps=description.id_maps,
                stdio=Stdio(source, pipes[0][1], pipes[1][1]),
                serve=server.current.serve,
                server=WatchedServer(lambda: server.current, server.replace),
                seccomp_cache=description.seccomp_cache,
            )
        )
    except BaseException:
        for reader, _ in pipes:
            os.close(reader)
        raise
    finally:
        os.close(source)
        for _, writer in pipes:
            os.close(writer)
    readers = {pipes[0][0]: 1, pipes[1][0]: 2}
    owners = None
    try:
        process.start()
        if process.listener is not None and process.user_namespace is not None:
            owners = OwnerRecording(process.user_namespace)
            owners.add(process.listener)
    except BaseException:
        for reader in readers:
            os.close(reader)
        raise
    return _wait(process, server, owners, readers, output)


def _wait(
    process: ContainerProcess,
    server: _StepServer,
    owners: OwnerRecording | None,
    readers: dict[int, int],
    output: Output,
) -> int:
    """Pass the output on until the command has ended; what it has left running ends with it."""
    ended = False
    try:
        # After the end of the first process the kernel kills all others, which closes the pipes.
        while not ended or readers:
            owned = {} if owners is None else owners.interest()
            ready = _ready(
                [*readers, *server.watched(), *(() if ended else (process.pidfd,))], owned
            )
            if owners is not None and not ready.isdisjoint(owned):
                owners.advance(ready)
            if not ended:
                ended = process.pidfd in ready
            if not ready.isdisjoint(server.watched()) and not server.goes_on():
                _kill(process)
            for descriptor in ready.intersection(readers):
                if data := os.read(descriptor, _CHUNK):
                    output(readers[descriptor], data)
                else:
                    os.close(descriptor)
                    del readers[descriptor]
    except BaseException:
        _kill(process)
        raise
    finally:
        for descriptor in readers:
            os.close(descriptor)
        if owners is not None:
            owners.close()
        if process.user_namespace is not None:
            os.close(process.user_namespace)
        result = os.waitid(os.P_PIDFD, process.pidfd, os.WEXITED)
        os.close(process.pidfd)
    if result is None:
        raise LaunchError("the command's process could not be waited for")
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status


def _ready(descriptors: list[int], events: dict[int, int]) -> set[int]:
    """Wait for descriptors that can be read, or those of `events` whose event has come."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    for descriptor, event in events.items():
        poll.register(descriptor, event)
    return {descriptor for descriptor, _ in poll.poll()}


def _kill(process: ContainerProcess) -> None:
    try:
        signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass
