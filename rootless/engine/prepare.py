"""From a request to a container on disk: everything is decided, and wrong input refused, before the
first process is forked.
"""

from __future__ import annotations

import os
import sys

from rootless.containers.directory import Containers, new_container_id
from rootless.containers.launch_description import HostTree, ImageTree, LaunchDescription
from rootless.containers.process_identity import start_time
from rootless.containers.random_names import name_for
from rootless.containers.reconcile import reconcile
from rootless.containers.record import ContainerRecord
from rootless.containers.storage_driver import StorageDriver
from rootless.containers.storage_paths import StoragePaths
from rootless.containers.timestamps import now
from rootless.durable import write_all
from rootless.engine.pull_in_child import POLICIES, ShowProgress, find_or_fetch
from rootless.errors import ExistsError, NotFoundError, RootlessError, UsageError
from rootless.light_json import dumps
from rootless.runtime.account import read_id_maps
from rootless.runtime.idmap import IdMaps
from rootless.spec.etc_files import APT_SANDBOX, APT_SANDBOX_PATH, hosts_file, resolv_conf
from rootless.spec.gather_host import gather_host_facts
from rootless.spec.options import ContainerOptions, parse_options
from rootless.spec.request import RunRequest
from rootless.spec.runtime_spec import make_spec
from rootless.spec.seccomp_profile import profile_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_EXECUTABLE_PLACES = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin")
_ATTEMPTS = 16


class Image:
    """What a run needs of an image: its layers and what its config says."""

    __slots__ = ("config", "id", "name", "tree")

    def __init__(
        self, name: str, image_id: str, config: Mapping[str, Any], tree: HostTree | ImageTree
    ) -> None:
        self.name = name
        self.id = image_id
        self.config = config
        self.tree = tree


def prepare(
    request: RunRequest,
    paths: StoragePaths,
    environ: Mapping[str, str],
    driver: StorageDriver,
    progress: ShowProgress | None = None,
    *,
    monitor: int,
) -> LaunchDescription:
    """Make the container's directory; raises RootlessError and leaves nothing if it cannot be made.

    `monitor` is the PID of the process that the container will belong to.
    """
    if request.detach:
        raise UsageError(
            "-d is not supported: containers in the background are not there yet",
            hint="leave -d out, and put & after the command",
        )
    options = parse_options(request, environ=environ, cwd=os.getcwd(), read=_read_text)
    image = (
        _rootfs(request, paths)
        if request.rootfs is not None
        else _image(request, paths, environ, progress)
    )
    id_maps = read_id_maps(options.userns)
    resources = _resources(request)
    container_id = new_container_id()
    directory = paths.containers.directory(container_id)
    texts = _etc_files(options, container_id, id_maps, image)
    host = gather_host_facts(devices=options.privileged)
    spec = make_spec(
        options,
        container_id=container_id,
        rootfs="rootfs",
        image_config=image.config,
        host=host,
        id_maps=id_maps,
        files={target: f"{directory}/{name}" for name, (target, _) in texts.items()},
        seccomp=profile_of(
            options.security.seccomp,
            options.security.capabilities,
            host=host,
            read=_read_bytes,
            privileged=options.privileged,
        ),
        resources=resources,
        console_size=_console_size() if options.terminal else None,
    )

    if options.mounts or options.devices:
        from rootless.spec.bind_sources import prepare_bind_sources

        prepare_bind_sources(options)
    os.makedirs(f"{paths.store}/seccomp", 0o700, exist_ok=True)

    def fill(hidden: str) -> None:
        for name in ("lower", "upper", "work", "rootfs"):
            os.mkdir(f"{hidden}/{name}", 0o755)
        for name, (_, text) in texts.items():
            _write(f"{hidden}/{name}", text.encode())
        _write(f"{hidden}/config.json", dumps(spec))

    record = _create(
        request,
        ContainerRecord(
            id=container_id,
            name=request.name or name_for(container_id),
            created=now(),
            image=image.name,
            image_id=image.id,
            storage_driver=driver.value,
            rootfs=str(image.tree.path) if isinstance(image.tree, HostTree) else "",
            command=tuple(spec["process"]["args"]),
            labels={**(image.config.get("Labels") or {}), **options.labels},
            auto_remove=request.remove,
            monitor_pid=monitor,
            monitor_pid_start=start_time(monitor),
        ),
        paths.containers,
        fill,
    )
    return LaunchDescription(
        record=record,
        directory=directory,
        spec=spec,
        id_maps=id_maps,
        tree=image.tree,
        storage_driver=driver,
        terminal=options.terminal,
        stop_timeout=options.stop_timeout,
        cgroup_parent=request.cgroup_parent,
        seccomp_cache=f"{paths.store}/seccomp",
        control_directory=paths.control_directory(container_id),
    )


def _rootfs(request: RunRequest, paths: StoragePaths) -> Image:
    path = os.path.abspath(request.rootfs or "")
    if not os.path.exists(path):
        raise NotFoundError(f"the root file system {path} does not exist")
    if not os.path.isdir(path):
        return _squashfs(path)
    command = request.entrypoint or next(iter(request.command), "")
    if not any(os.path.isdir(f"{path}/{place}") for place in _EXECUTABLE_PLACES) and not (
        command.startswith("/") and os.path.lexists(f"{path}{command}")
    ):
        raise UsageError(
            f"{path} is not a root file system: there is no {', '.join(_EXECUTABLE_PLACES[:-1])} in it",
            hint="name the directory that holds bin and usr, or make an image of an archive: "
            "rootless import",
        )
    return Image("", "", {}, HostTree(path, hidden=(paths.store, paths.runtime)))


def _squashfs(path: str) -> Image:
    """Served in place; it is opened here once so that what is wrong with it is said, and by us."""
    from rootless.images.formats.squashfs import find_squashfs, open_squashfs

    image = find_squashfs(path)
    if image is None:
        raise NotFoundError(
            f"the root file system {path} is not a directory",
            hint="a squashfs or SIF image is one too; rootless load and rootless import bring archives in",
        )
    open_squashfs(image).close()
    return Image("", "", {}, HostTree(path))


def _image(
    request: RunRequest,
    paths: StoragePaths,
    environ: Mapping[str, str],
    progress: ShowProgress | None,
) -> Image:
    from rootless.oci.platform import parse_platform
    from rootless.rootfs.image_tree import image_tree
    from rootless.store.layout import Store

    name = request.image or ""
    policy = request.pull or "missing"
    if policy not in POLICIES:
        raise UsageError(
            f"invalid pull option: {policy!r}: must be one of {', '.join(POLICIES[:-1])} or {POLICIES[-1]}"
        )
    store = Store.open(paths.store)
    platform = None if request.platform is None else parse_platform(request.platform)
    image = find_or_fetch(store, name, platform, policy=policy, environ=environ, progress=progress)
    return Image(name, image.id, image.config, image_tree(store, image))


def _resources(request: RunRequest) -> dict[str, Any]:
    from rootless.cgroups.devices import block_device_number
    from rootless.cgroups.flags import resources_of

    return resources_of(request, cpu_count=os.cpu_count() or 1, device_number=block_device_number)


def _etc_files(
    options: ContainerOptions, container_id: str, id_maps: IdMaps, image: Image
) -> dict[str, tuple[str, str]]:
    """File name in the container's directory: (path in the container, content)."""
    private = options.namespaces.uts
    hostname = (options.hostname or container_id[:12]) if private else os.uname().nodename
    gateway = None if options.namespaces.network else "127.0.0.1"
    files = {
        "hosts": ("/etc/hosts", hosts_file(hostname, options.hosts, gateway=gateway)),
        "hostname": ("/etc/hostname", f"{hostname}\n"),
        "resolv.conf": (
            "/etc/resolv.conf",
            resolv_conf(_read_text_or_nothing("/etc/resolv.conf"), options.dns),
        ),
    }
    covered = any(f"{APT_SANDBOX_PATH}/".startswith(f"{m.target}/") for m in options.mounts)
    if id_maps.single and not covered and _has_apt(image.tree):
        files["apt.conf"] = (APT_SANDBOX_PATH, APT_SANDBOX)
    return files


def _has_apt(tree: HostTree | ImageTree) -> bool:
    directory = os.path.dirname(APT_SANDBOX_PATH).lstrip("/")
    if isinstance(tree, HostTree) and os.path.isdir(tree.path):
        return os.path.isdir(f"{tree.path}/{directory}")
    from rootless.rootfs.union import image_has_directory

    return image_has_directory(tree, directory)


def _console_size() -> tuple[int, int] | None:
    for descriptor in (1, 0, 2):
        try:
            size = os.get_terminal_size(descriptor)
        except OSError:
            continue
        return size.lines, size.columns
    return None


def _create(
    request: RunRequest,
    record: ContainerRecord,
    containers: Containers,
    fill: Callable[[str], None],
) -> ContainerRecord:
    """Make the directory and write the --cidfile; returns the record with the name it got."""
    cidfile = _open_cidfile(request.cidfile)
    try:
        record = _take_name(record, containers, fill, chosen=request.name is None)
    except BaseException:
        if cidfile is not None:
            os.close(cidfile)
            os.unlink(request.cidfile or "")
        raise
    if cidfile is not None:
        write_all(cidfile, record.id.encode())
        os.close(cidfile)
    return record


def _take_name(
    record: ContainerRecord, containers: Containers, fill: Callable[[str], None], *, chosen: bool
) -> ContainerRecord:
    """Make the directory under a free name. `chosen`: the name is ours, and another is as good."""
    for attempt in range(1, _ATTEMPTS):
        try:
            containers.create(record, fill)
        except ExistsError:
            if chosen:
                record = record._replace(name=name_for(record.id, attempt))
            elif attempt == 1:
                # The name may be that of a container whose monitor was killed.
                reconcile(containers)
            else:
                raise
        else:
            return record
    raise ExistsError("no name is free for the container", hint="choose one with --name")


def _open_cidfile(path: str | None) -> int | None:
    if path is None:
        return None
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise ExistsError(
            f"container ID file found, make sure the other container isn't running or delete {path}"
        ) from None
    except OSError as error:
        raise RootlessError(
            f"cannot write the container ID file {path}: {error.strerror}"
        ) from error


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        write_all(descriptor, data)
    finally:
        os.close(descriptor)


def _read_text(path: str) -> str:
    if path == "-":
        return sys.stdin.read()
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"open {path}: {(error.strerror or '').lower()}") from error


def _read_bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _read_text_or_nothing(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
