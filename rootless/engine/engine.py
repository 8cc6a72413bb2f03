"""The public Python API: an `Engine` over one store, with what the commands do as methods.

from rootless import Engine, RunRequest
request = RunRequest(image="debian:12", command=("true",), remove=True)
status = Engine().run(request).status
"""

from __future__ import annotations

import os

from rootless.containers.storage_paths import StoragePaths
from rootless.errors import InUseError, UsageError
from rootless.paths import data_root, runtime_root
from rootless.spec.request import RunRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from rootless.containers.launch_description import LaunchDescription
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_driver import StorageDriver
    from rootless.engine.doctor import Finding as HostFinding
    from rootless.engine.pull_in_child import ShowProgress
    from rootless.engine.upkeep import DiskUsage, PrunedContainers
    from rootless.filters import Filters
    from rootless.images.gc.check import Finding
    from rootless.images.gc.prune import Pruned as PrunedImages
    from rootless.images.gc.remove import Removal
    from rootless.images.inspect import HistoryEntry
    from rootless.images.listing import ListedImage
    from rootless.images.new_image import LoadedImage
    from rootless.images.transfer.copy import CopyOptions
    from rootless.images.transfer.login import LoggedIn
    from rootless.images.transfer.progress import Progress
    from rootless.images.transfer.pull import Pulled
    from rootless.images.transfer.push import Pushed
    from rootless.oci.platform import Platform
    from rootless.registry.authorization import Credentials
    from rootless.registry.configuration import ClientEnv
    from rootless.registry.remote import RemoteOptions
    from rootless.store.layout import Store
    from rootless.supervisor.copy_up_report import CopyLedger
    from rootless.supervisor.foreground import Outcome

_KILL_WAIT = 10.0


class Engine:
    """One store and what can be done with it. Holds nothing open; several may use one store.

    Args:
        root: The store; by default $ROOTLESS_ROOT, else below $XDG_DATA_HOME.
        runroot: Sockets and locks; by default $ROOTLESS_RUNROOT, else below $XDG_RUNTIME_DIR.
        debug: Say each step of a start on standard error.
        storage_driver: That of containers whose request names none; by default
            $ROOTLESS_STORAGE_DRIVER, else unionfs.
    """

    def __init__(
        self,
        *,
        root: str | os.PathLike[str] | None = None,
        runroot: str | os.PathLike[str] | None = None,
        debug: bool = False,
        storage_driver: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._environ = os.environ if environ is None else environ
        home = os.path.expanduser("~")
        self.paths = StoragePaths(
            store=os.path.abspath(root) if root else data_root(self._environ, home),
            runtime=os.path.abspath(runroot)
            if runroot
            else runtime_root(self._environ, os.getuid()),
        )
        self._debug = debug
        self._storage_driver = storage_driver

    # Containers.

    def run(self, request: RunRequest, *, progress: ShowProgress | None = None) -> Outcome:
        """Run a container in the foreground, connected to this process's standard streams, to its
        end. An image that is not here is pulled; `progress` is called if so.

        A process with several threads starts the container more slowly, because it may not fork.
        Signals are passed on in the main thread only. Raises RootlessError if the container could not
        be started.
        """
        from rootless.supervisor.foreground import Attachment, run_in_foreground

        attachment = Attachment(
            *_attached(request),
            signals=request.sig_proxy,
            detach_keys=_detach_keys(request),
        )
        if request.tty and attachment.stdin and not os.isatty(0):
            raise NotATerminalError("the input device is not a TTY")

        def prepare(monitor: int) -> LaunchDescription:
            from rootless.engine.prepare import prepare

            driver = self._driver(request.storage_driver)
            return prepare(request, self.paths, self._environ, driver, progress, monitor=monitor)

        return run_in_foreground(prepare, attachment, terminal=request.tty, debug=self._debug)

    def containers(self) -> list[ContainerRecord]:
        """Every container, oldest first."""
        from rootless.containers.reconcile import reconcile

        reconcile(self.paths.containers)
        return self.paths.containers.all()

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a container. Raises NotFoundError, InUseError if it runs and `force` is not set."""
        from rootless.containers.reconcile import kill_and_wait, reconcile
        from rootless.containers.status import Status

        containers = self.paths.containers
        reconcile(containers)
        record = containers.find(name)
        if record.status is not Status.EXITED:
            if not force:
                raise InUseError(
                    f"cannot remove container {name!r}: container is {record.status.value}",
                    hint="stop it first, or use --force",
                )
            kill_and_wait(record, _KILL_WAIT)
        containers.remove(record.id)

    def inspect_container(self, name: str, *, sizes: bool = False) -> dict[str, Any]:
        """What Docker's inspect says of a container. Raises NotFoundError."""
        from pathlib import Path

        from rootless.containers.inspect import container_document

        containers = self.paths.containers
        record = containers.find(name)
        document = container_document(
            record, Path(containers.directory(record.id)), self._image_config(record)
        )
        if sizes:
            written = self.container_size(record.id)
            below = self.inspect_image(record.image_id)["Size"] if record.image_id else 0
            document |= {"SizeRw": written, "SizeRootFs": written + below}
        return document

    def find_containers(
        self, filters: Filters = (), *, everything: bool = False, last: int | None = None
    ) -> list[ContainerRecord]:
        """Those that pass the filters of `ps`, newest first; without `everything` only running
        ones.
        """
        from rootless.containers.filters import select

        records, store = self.containers(), self._store()
        return select(
            records, filters, self.paths.containers, store, everything=everything, last=last
        )

    def container_size(self, container_id: str) -> int:
        """Bytes on disk of what a container has written."""
        from pathlib import Path

        from rootless.images.gc.usage import tree_size

        return tree_size(Path(self.paths.containers.directory(container_id)) / "upper")

    def commit(
        self,
        name: str,
        *,
        reference: str | None = None,
        author: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        pause: bool = True,
    ) -> LoadedImage:
        """Make an image of a container. One that runs is held still meanwhile if `pause`."""
        from rootless.rootfs.commit import commit_container

        return commit_container(
            self._find_reconciled(name),
            self.paths,
            self._store(),
            self._environ,
            reference=reference,
            author=author,
            message=message,
            changes=changes,
            pause=pause,
        )

    def export(self, name: str, output: Path | int) -> None:
        """Write all files of a container as a tar archive, by path or by descriptor."""
        from rootless.rootfs.commit import export_container

        export_container(self._find_reconciled(name), self.paths, self._store(), output, pause=True)

    def diff(self, name: str) -> list[tuple[str, bytes]]:
        """What a container has changed: A, C or D, and the path, relative to the root."""
        from pathlib import Path

        from rootless.rootfs.read import mountpoints, open_container, reading

        record = self._find_reconciled(name)
        directory = Path(self.paths.containers.directory(record.id))
        with (
            open_container(record, self.paths, self._store(), pause=False) as files,
            reading(record),
        ):
            return files.changes(mountpoints(directory))

    def prune_containers(self, filters: Filters = ()) -> PrunedContainers:
        """Remove every container that has ended and passes until=, label= and label!=."""
        from rootless.engine.upkeep import prune_containers

        return prune_containers(self.paths.containers, self.containers(), filters)

    def _image_config(self, record: ContainerRecord) -> Mapping[str, Any]:
        """What the image of a container says to run; nothing if the image is not to be had."""
        from rootless.errors import RootlessError
        from rootless.oci.image_config import read_image_config

        if not record.image_id:
            return {}
        try:
            data = self._store().read_document(record.image_id, "image config")
            return read_image_config(data, record.image_id).config
        except RootlessError:
            return {}

    def _find_reconciled(self, name: str) -> ContainerRecord:
        from rootless.containers.reconcile import reconcile

        reconcile(self.paths.containers)
        return self.paths.containers.find(name)

    def copy_ledger(self, name: str) -> CopyLedger:
        """What copying up has cost a container, until now if it runs. Raises NotFoundError."""
        from pathlib import Path

        from rootless.containers.reconcile import reconcile
        from rootless.supervisor.copy_up_report import read_ledger

        containers = self.paths.containers
        reconcile(containers)
        record = containers.find(name)
        return read_ledger(record, Path(containers.directory(record.id)))

    # The engine itself.

    def examine(self) -> list[HostFinding]:
        """What containers need of this machine, each found out by trying it."""
        from rootless.engine.doctor import examine

        return examine(self._environ, store=self.paths.store, runtime=self.paths.runtime)

    def info(self) -> dict[str, Any]:
        """What this engine is and stands on, with the keys of Docker's info."""
        from rootless.engine.information import information

        return information(
            self._environ, self.paths, self.containers(), self._store(), self._driver()
        )

    # Images.

    def images(
        self, name: str | None = None, filters: Sequence[tuple[str, str]] = ()
    ) -> list[ListedImage]:
        """One row per name of every image, newest first."""
        from rootless.images.listing import list_images

        return list_images(self._store(), name, filters)

    def load(self, source: Path | int, *, platform: str | None = None) -> list[LoadedImage]:
        """Load every image of an archive, by path or by descriptor."""
        from rootless.images.load import load

        return load(self._store(), source, platform=_platform(platform))

    def import_rootfs(
        self,
        source: Path | int | str,
        *,
        reference: str | None = None,
        changes: Sequence[str] = (),
        message: str | None = None,
        platform: str | None = None,
    ) -> LoadedImage:
        """Make an image of one layer of a root file system archive: a path, a descriptor, or, as a
        string, an http or https URL.
        """
        from rootless.containers.timestamps import time_of_making
        from rootless.images.import_tar import import_tar

        return import_tar(
            self._store(),
            source,
            reference=reference,
            created=time_of_making(self._environ),
            changes=changes,
            message=message,
            platform=_platform(platform),
        )

    def save(
        self,
        names: Sequence[str],
        output: Path | int,
        *,
        form: str = "docker-archive",
        platform: str | None = None,
    ) -> None:
        """Write images to one archive, by path or by descriptor. Raises UsageError for a format
        that does not exist.
        """
        from rootless.images.save import Format, save

        known = {each.value: each for each in Format}
        if form not in known:
            raise UsageError(f"--format {form!r} is not known", hint=f"one of {', '.join(known)}")
        save(self._store(), names, output, known[form], platform=_platform(platform))

    def tag(self, source: str, target: str) -> None:
        """Give an image another name."""
        from rootless.images.tag import tag

        tag(self._store(), source, target)

    def remove_image(self, name: str, *, force: bool = False) -> list[Removal]:
        """Take a name away, and the image with its last one; says what was done."""
        from rootless.images.gc.remove import remove

        return remove(self._store(), name, self.containers, force=force)

    def history(self, name: str, *, platform: str | None = None) -> list[HistoryEntry]:
        """The steps that made an image, newest first."""
        from rootless.images.inspect import history
        from rootless.store.image import resolve

        store = self._store()
        return history(store, resolve(store, name, _platform(platform)))

    def inspect_image(self, name: str, *, platform: str | None = None) -> dict[str, Any]:
        """What Docker's inspect says of an image. Raises NotFoundError."""
        from rootless.images.inspect import inspect
        from rootless.store.image import resolve

        store = self._store()
        return inspect(store, resolve(store, name, _platform(platform)))

    def untag(self, name: str, targets: Sequence[str] = ()) -> None:
        """Take names from an image, all if none is said; the image stays."""
        from rootless.images.tag import untag

        untag(self._store(), name, targets)

    def compare_images(self, old: str, new: str) -> list[tuple[str, bytes]]:
        """What has to change in one image's files to get the other's: A, C or D, and the path."""
        from rootless.rootfs.read import compare_images
        from rootless.store.image import resolve

        store = self._store()
        return compare_images(store, resolve(store, old), resolve(store, new))

    def verify_image(self, name: str) -> list[Finding]:
        """Hash everything that an image consists of; what is wrong."""
        from rootless.images.gc.check import verify
        from rootless.store.image import resolve

        store = self._store()
        return verify(store, resolve(store, name))

    def mount_image(self, name: str) -> Path:
        """Show an image's files, read-only, in a directory that the whole machine sees and only
        this account may enter. One that is mounted already stays so. Raises RootlessError.
        """
        from rootless.rootfs.image_mounts import mount_image
        from rootless.store.image import resolve

        store = self._store()
        return mount_image(self.paths, store, resolve(store, name))

    def unmount_image(self, name: str) -> None:
        """The end of that. Raises NotFoundError if it is not mounted."""
        from rootless.rootfs.image_mounts import unmount_image
        from rootless.store.image import resolve

        unmount_image(self.paths, resolve(self._store(), name))

    def mounted_images(self) -> list[tuple[str, Path]]:
        """Id and directory of every image that is mounted."""
        from rootless.rootfs.image_mounts import mounted_images

        return mounted_images(self.paths)

    def prune_images(self, *, everything: bool = False, filters: Filters = ()) -> PrunedImages:
        """Remove images without a name, or, with `everything`, those that no container uses."""
        from rootless.images.gc.prune import prune_images

        return prune_images(self._store(), self.containers, everything=everything, filters=filters)

    def disk_usage(self) -> DiskUsage:
        """What takes how much room, and what of it could be given back."""
        from rootless.engine.upkeep import disk_usage

        return disk_usage(self._store(), self.paths.containers, self.containers())

    def check(self, *, repair: bool = False) -> list[Finding]:
        """What in the store is not as it should be, and, with `repair`, is so again."""
        from rootless.engine.upkeep import check

        return check(self._store(), self.paths.containers, self.containers, repair=repair)

    # Registries.

    def pull(
        self,
        name: str,
        *,
        options: RemoteOptions | None = None,
        platform: str | None = None,
        all_tags: bool = False,
        progress: Progress | None = None,
    ) -> list[Pulled]:
        """Fetch an image, or every tag of a repository."""
        from rootless.images.transfer.pull import pull

        return pull(
            self._store(),
            name,
            self._client_env(),
            options=options,
            platform=_platform(platform),
            all_tags=all_tags,
            progress=progress,
        )

    def push(
        self,
        name: str,
        *,
        options: RemoteOptions | None = None,
        all_tags: bool = False,
        progress: Progress | None = None,
    ) -> list[Pushed]:
        """Send an image, or every tag of a repository, to the registry that its name says."""
        from rootless.images.transfer.push import push

        return push(
            self._store(),
            name,
            self._client_env(),
            options=options,
            all_tags=all_tags,
            progress=progress,
        )

    def login(
        self, host: str | None, account: Credentials, options: RemoteOptions | None = None
    ) -> LoggedIn:
        """Prove an account at a registry (None: Docker Hub) and keep it."""
        from rootless.images.transfer.login import login, registry_host
        from rootless.registry.remote import RemoteOptions

        env = self._client_env()
        return login(registry_host(host), account, env, options or RemoteOptions())

    def logout(self, host: str | None, options: RemoteOptions | None = None) -> bool:
        """Forget a registry's account; whether there was one."""
        from rootless.images.transfer.login import logout
        from rootless.registry.remote import RemoteOptions

        return logout(host, self._client_env(), options or RemoteOptions())

    def account(self, host: str | None, options: RemoteOptions | None = None) -> Credentials | None:
        """The account that is kept for a registry."""
        from rootless.images.transfer.login import known_account, registry_host
        from rootless.registry.remote import RemoteOptions

        env = self._client_env()
        return known_account(registry_host(host), env, options or RemoteOptions())

    def registry_tags(self, name: str, options: RemoteOptions | None = None) -> tuple[str, ...]:
        """Every tag of a repository at its registry."""
        from rootless.images.transfer.registry_tags import registry_tags

        return registry_tags(name, self._client_env(), options)

    def copy(
        self,
        source: str,
        destination: str,
        options: CopyOptions | None = None,
    ) -> str:
        """Copy an image between locations as skopeo spells them; returns its digest."""
        from rootless.images.transfer.copy import CopyOptions, copy

        env = self._client_env()
        return copy(self._store(), source, destination, env, options or CopyOptions())

    def manifest_lists(self) -> tuple[Store, ClientEnv]:
        """What the functions of rootless.images.manifest_lists work on."""
        return self._store(), self._client_env()

    def _client_env(self) -> ClientEnv:
        from rootless.registry.configuration import ClientEnv

        return ClientEnv.of_caller(self._environ)

    def _driver(self, asked: str | None = None) -> StorageDriver:
        from rootless.containers.storage_driver import storage_driver

        return storage_driver(asked, self._storage_driver, self._environ)

    def _store(self) -> Store:
        from rootless.store.layout import Store

        return Store.open(self.paths.store)


class NotATerminalError(UsageError):
    """-i -t without a terminal on standard input; Docker's client exits with 1."""

    exit_status = 1
    code = "not-a-terminal"


def _attached(request: RunRequest) -> tuple[bool, bool, bool]:
    """Which streams are connected: -a where it was given, else what -i says and both outputs."""
    if not request.attach:
        return request.interactive, True, True
    wanted = {stream.lower() for stream in request.attach}
    unknown = wanted - {"stdin", "stdout", "stderr"}
    if unknown:
        raise UsageError("valid streams are STDIN, STDOUT and STDERR")
    return (
        request.interactive and "stdin" in wanted,
        "stdout" in wanted,
        "stderr" in wanted,
    )


def _detach_keys(request: RunRequest) -> bytes:
    if not request.detach_keys:
        return b""
    from rootless.supervisor.detach_keys import parse_detach_keys

    return parse_detach_keys(request.detach_keys)


def _platform(text: str | None) -> Platform | None:
    from rootless.oci.platform import parse_platform

    return None if text is None else parse_platform(text)
