"""Prepares a container from its options: decides everything, and refuses wrong input, before the first process is
forked.
"""

from __future__ import annotations

import os

from rootless.containers.create import create_container, write_readable
from rootless.containers.directory import new_container_id
from rootless.containers.launch_description import (
    HostTree,
    ImageTree,
    LaunchDescription,
    OutputLog,
    log_path,
)
from rootless.containers.options_document import NAME as OPTIONS_NAME
from rootless.containers.options_document import encode_options
from rootless.containers.process_identity import boot_id, start_time
from rootless.containers.record import ContainerRecord
from rootless.containers.storage_paths import StoragePaths
from rootless.containers.timestamps import now
from rootless.engine.preparation.network import prepare_network, with_network_name
from rootless.engine.pull_in_child import ShowProgress, find_or_fetch
from rootless.errors import UsageError
from rootless.light_json import dumps
from rootless.light_stdlib import read_file, signal
from rootless.rootfs.lower import Lower, lower_of_image, lower_of_path
from rootless.runtime.account import read_account, read_id_maps
from rootless.spec.check_options import check_options
from rootless.spec.etc_files import APT_DIRECTORY, etc_files
from rootless.spec.gather_host import console_size, gather_host_facts, host_resolv_conf
from rootless.spec.options import (
    Bind,
    ContainerOptions,
    ImageMount,
    LogDriver,
    Volume,
)
from rootless.spec.runtime_spec import make_spec, requested_user
from rootless.spec.seccomp_profile import profile_of
from rootless.spec.storage_driver import StorageDriver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import Any

    from rootless.engine.preparation.layer import PreparedLayer
    from rootless.engine.preparation.volumes import PreparedVolumes
    from rootless.oci.reference import Reference
    from rootless.runtime.idmap import IdMaps
    from rootless.runtime.userdb import Account
    from rootless.spec.health import HealthCheck
    from rootless.spec.options import ResourceLimits
    from rootless.spec.runtime_spec import Spec
    from rootless.store.image import Image
    from rootless.store.layout import Store

_OF_NETWORK = ("hosts", "hostname", "resolv.conf")
"""Files of the container whose network another one shares that the other has too, as with docker."""


def prepare(
    options: ContainerOptions,
    paths: StoragePaths,
    environ: Mapping[str, str],
    driver: StorageDriver,
    progress: ShowProgress | None = None,
    *,
    monitor: int,
    recording: str = "",
    adapt: Callable[[ContainerOptions, Lower], ContainerOptions] | None = None,
) -> LaunchDescription:
    """Make the container's directory; raises RootlessError and leaves nothing if it cannot be made.

    `monitor` is the PID of the process that the container will belong to; 0 for a container that is
    only created. `recording`: a directory of the host where its shell records what is typed
    (`rootless.recording.shell`). `adapt` changes the options when the image is known.
    """
    options = with_network_name(options, environ, paths)
    check_options(options)
    if driver is StorageDriver.OVERLAY:
        from rootless.engine.preparation.overlay_driver import options_for_overlay

        options = options_for_overlay(options)
    lower = _lower(options, paths, environ, progress)
    if adapt is not None:
        options = adapt(options, lower)
    if any(isinstance(each, ImageMount) for each in options.mounts):
        options = _with_images(options, paths, environ, progress)
    if any(isinstance(each, Bind) and each.idmap for each in options.mounts):
        options = _with_caller_as_user(options, lower)
    volumes = _prepare_volumes(options, lower, paths)
    try:
        prepared = _Preparation(
            options if volumes is None else volumes.options,
            paths,
            environ,
            lower,
            driver=driver,
            monitor=monitor,
            recording=recording,
        ).make()
    except BaseException:
        if volumes is not None:
            volumes.abandon()
        raise
    if volumes is not None:
        volumes.release()
    return prepared


def _layer(
    options: ContainerOptions, paths: StoragePaths, environ: Mapping[str, str], container_id: str
) -> PreparedLayer | None:
    """The writable layer, and further layers over the image; None for a layer in the container's directory alone."""
    if options.writable_tmpfs is None and not options.overlays and not paths.uppers[0]:
        return None
    from rootless.engine.preparation.layer import prepare_layer

    return prepare_layer(options, paths, environ, paths.containers.directory(container_id))


def _make_directories(directory: str, layer: PreparedLayer | None, *, has_lower: bool) -> None:
    """`has_lower`: its root may be an overlayfs of the kernel over another mount (`rootless.runtime.steps.overlay`)."""
    layers = ("upper", "work") if layer is None else ()
    for name in (*layers, *(("lower",) if has_lower else ()), "rootfs"):
        os.mkdir(f"{directory}/{name}")
        os.chmod(f"{directory}/{name}", 0o755)
    if layer is not None:
        layer.link(directory)


def _command(spec: Mapping[str, Any], recording: str) -> tuple[str, ...]:
    """What the container executes, as users know it."""
    executed = tuple(map(str, spec["process"]["args"]))
    if not recording:
        return executed
    from rootless.recording.shell import plain_arguments

    return plain_arguments(executed)


def _with_images(
    options: ContainerOptions,
    paths: StoragePaths,
    environ: Mapping[str, str],
    progress: ShowProgress | None,
) -> ContainerOptions:
    from rootless.engine.preparation.mounts import find_images
    from rootless.store.layout import Store

    store = Store.open(paths.store, paths.shared)

    find = _image_finder(store, options, paths, environ, progress)
    return find_images(options, store, find)


def _with_caller_as_user(options: ContainerOptions, lower: Lower) -> ContainerOptions:
    from rootless.engine.preparation.mounts import map_caller_to_user

    maps = read_id_maps(options.userns)
    user = requested_user(options, lower.config, maps)
    return map_caller_to_user(options, user, lower, maps)


def _prepare_volumes(
    options: ContainerOptions, lower: Lower, paths: StoragePaths
) -> PreparedVolumes | None:
    """None for a container without volumes."""
    of_image = lower.config.get("Volumes") or ()
    has_volume = any(isinstance(each, Volume) for each in options.mounts)
    if not of_image and not has_volume and not options.volumes_from:
        return None
    from rootless.engine.preparation.volumes import PreparedVolumes

    return PreparedVolumes(options, of_image, lower.tree, paths)


class _Preparation:
    """One container whose lower layers and volumes are there. `make` writes its directory; until then nothing of it is on
    disk.
    """

    def __init__(
        self,
        options: ContainerOptions,
        paths: StoragePaths,
        environ: Mapping[str, str],
        lower: Lower,
        *,
        driver: StorageDriver,
        monitor: int,
        recording: str,
    ) -> None:
        self._paths, self._environ, self._lower = paths, environ, lower
        self._driver, self._monitor, self._recording = driver, monitor, recording
        self._id_maps = read_id_maps(options.userns)
        self._id = new_container_id()
        self._directory = paths.containers.directory(self._id)
        self._network, self._endpoint = prepare_network(
            options, lower.config.get("ExposedPorts") or (), environ, paths
        )
        shared = options.network.container
        self._of_network = paths.containers.directory(shared) if shared else self._directory
        """Where the files are whose contents follow from the network."""
        if shared:
            from rootless.containers.config import hostname_of

            options = options._replace(hostname=hostname_of(self._of_network) or None)
        self._options = options
        self._account = None if self._id_maps.kept is None else read_account()
        self._labels = {**(lower.config.get("Labels") or {}), **options.labels}

    def make(self) -> LaunchDescription:
        """Make the container's directory, and what of the host it needs."""
        texts = self._texts()
        spec = self._spec(texts)
        if self._options.mounts or self._options.devices:
            from rootless.spec.bind_sources import prepare_bind_sources

            prepare_bind_sources(self._options)
        os.makedirs(f"{self._paths.store}/seccomp", 0o700, exist_ok=True)
        layer = _layer(self._options, self._paths, self._environ, self._id)
        description = self._description(spec, texts)
        if layer is not None:
            description = layer.described(description)
        record = self._create(description, texts, layer)
        if not self._monitor:
            from rootless.containers.events import report

            report(self._paths.containers.runtime, record, "create")
        return description._replace(record=record)

    def _texts(self) -> dict[str, tuple[str, str]]:
        """The files that the engine writes for the container, by name: the path inside, and the contents."""
        options, tree = self._options, self._lower.tree
        texts = etc_files(
            options,
            hostname=_hostname(options, self._id, self._paths),
            host_resolv_conf=host_resolv_conf(),
            id_maps=self._id_maps,
            has_apt=lambda: _has_apt(tree),
            setup=self._network,
        )
        return _with_users(texts, options, self._lower, self._id_maps, self._account)

    def _spec(self, texts: Mapping[str, tuple[str, str]]) -> Spec:
        options = self._options
        host = gather_host_facts(devices=options.privileged, limits=bool(options.ulimits))
        executed = options
        if self._recording:
            from rootless.engine.preparation.recording import recorded_options

            executed = recorded_options(options, self._lower, self._recording)
        spec = make_spec(
            executed,
            container_id=self._id,
            rootfs="rootfs",
            image_config=self._lower.config,
            host=host,
            id_maps=self._id_maps,
            files={
                target: f"{self._of_network if name in _OF_NETWORK else self._directory}/{name}"
                for name, (target, _) in texts.items()
            },
            seccomp=profile_of(
                options.security.seccomp,
                options.security.capabilities,
                host=host,
                read=read_file,
                privileged=options.privileged,
            ),
            resources=_resources(options.limits),
            console_size=console_size() if options.terminal else None,
            account=self._account,
            volumes=f"{self._paths.store}/volumes",
        )
        return _with_cdi_devices(spec, options) if options.cdi_devices else spec

    def _description(self, spec: Spec, texts: Collection[str]) -> LaunchDescription:
        options, lower, directory = self._options, self._lower, self._directory
        stop_signal = options.stop_signal or lower.config.get("StopSignal")
        environment = spec["process"]["env"]
        return LaunchDescription(
            record=self._record(spec),
            directory=directory,
            spec=spec,
            id_maps=self._id_maps,
            tree=lower.tree,
            storage_driver=self._driver,
            volatile=options.remove and not options.always_sync,
            storage=options.storage,
            memory_size=options.writable_tmpfs or 0,
            removes_image=options.remove_image,
            access_trace=options.trace,
            prefetch=options.prefetch,
            terminal=options.terminal,
            stop_signal=_stop_signal(stop_signal),
            stop_timeout=options.stop_timeout,
            time_limit=options.time_limit,
            cgroup_parent=options.cgroup_parent,
            seccomp_cache=f"{self._paths.store}/seccomp",
            control_directory=self._paths.control_directory(self._id),
            output_log=_output_log(options, directory, self._id, self._labels, environment),
            streams=(options.interactive, True, True),
            input_once=options.interactive and options.attach.stdin,
            ends_with_client=False,
            is_new=self._monitor != 0,
            restart=options.restart,
            health=_health(options, lower),
            network=self._network,
            mount_points=_mount_points(spec, [f"{directory}/{name}" for name in texts]),
        )

    def _record(self, spec: Spec) -> ContainerRecord:
        """Without a name, which it gets when its directory is made."""
        options, lower, monitor = self._options, self._lower, self._monitor
        mounted = [each.image_id for each in options.mounts if isinstance(each, ImageMount)]
        return ContainerRecord(
            id=self._id,
            name="",
            created=now(),
            image=lower.name,
            image_id=lower.image_id,
            mounted_images=tuple(mounted),
            storage_driver=self._driver.value,
            rootfs=str(lower.tree.path) if isinstance(lower.tree, HostTree) else "",
            snapshot_each=options.snapshot_each,
            command=_command(spec, self._recording),
            labels=self._labels,
            auto_remove=options.remove,
            monitor_pid=monitor,
            monitor_pid_start=start_time(monitor) if monitor else 0,
            boot=boot_id() if monitor else "",
            host=os.uname().nodename if monitor else "",
            endpoint=self._endpoint,
        )

    def _create(
        self,
        description: LaunchDescription,
        texts: Mapping[str, tuple[str, str]],
        layer: PreparedLayer | None,
    ) -> ContainerRecord:
        options = self._options

        def fill(hidden: str) -> None:
            readonly = description.spec["root"].get("readonly")
            has_lower = self._driver is StorageDriver.OVERLAY or bool(readonly)
            _make_directories(hidden, layer, has_lower=has_lower)
            for name, (_, text) in texts.items():
                write_readable(f"{hidden}/{name}", text.encode(errors="surrogateescape"))
            write_readable(f"{hidden}/config.json", dumps(description.spec))
            write_readable(f"{hidden}/{OPTIONS_NAME}", encode_options(options))
            if not (options.remove and self._monitor):
                # The monitor alone starts again what is removed when it ends.
                from rootless.containers.launch_document import NAME, encode_launch

                write_readable(f"{hidden}/{NAME}", encode_launch(description))

        try:
            return create_container(
                self._paths.containers,
                description.record,
                fill,
                name=options.name,
                cidfile=options.cidfile,
            )
        except BaseException:
            if layer is not None:
                layer.discard()
            raise


def _with_cdi_devices(spec: Spec, options: ContainerOptions) -> Spec:
    from rootless.cdi.edits import apply_edits
    from rootless.cdi.files import DEFAULT_DIRECTORIES, read_spec_files
    from rootless.cdi.resolver import resolve

    files = read_spec_files(options.cdi_directories or DEFAULT_DIRECTORIES)
    return apply_edits(spec, resolve(options.cdi_devices, files))


def _mount_points(spec: Mapping[str, Any], files: Collection[str]) -> tuple[str, ...]:
    """Where these files are mounted, unless that is inside another mount."""
    mounts = spec["mounts"]
    places = tuple(f"{each['destination'].rstrip('/')}/" for each in mounts)
    return tuple(
        each["destination"]
        for each in mounts
        if each.get("source") in files and not each["destination"].startswith(places)
    )


def _output_log(
    options: ContainerOptions,
    directory: str,
    container_id: str,
    labels: Mapping[str, str],
    environment: list[str],
) -> OutputLog:
    log = options.log
    attributes: Mapping[str, str] = {}
    if log.given:
        from rootless.engine.preparation.log_attributes import attributes_of

        attributes = attributes_of(log, labels, environment)
    if log.driver is LogDriver.JOURNALD:
        from rootless.logs.journal import require_journal

        require_journal()
    return OutputLog(
        log.driver,
        log_path(log.driver, str(directory), container_id),
        log.max_size,
        log.max_file,
        log.compress,
        tuple(sorted(attributes.items())),
        log.tag,
    )


def _health(options: ContainerOptions, lower: Lower) -> HealthCheck | None:
    """The health check that is to be carried out. Raises UsageError."""
    if options.health is None and not lower.config.get("Healthcheck"):
        return None
    from rootless.spec.health import effective, merged

    return effective(merged(options.health, lower.config), lower.config.get("Shell"))


def _stop_signal(name: str | None) -> int:
    if not name:
        return int(signal.SIGTERM)
    from rootless.containers.stop_signal import signal_number

    return signal_number(name)


def _lower(
    options: ContainerOptions,
    paths: StoragePaths,
    environ: Mapping[str, str],
    progress: ShowProgress | None,
) -> Lower:
    if options.rootfs is not None:
        program = options.entrypoint or next(iter(options.command), "")
        lower = lower_of_path(
            options.rootfs, program=program, hidden=(paths.store, paths.runtime, *options.hidden)
        )
        return _in_place(lower) if options.in_place else lower
    from rootless.store.layout import Store

    store, name = Store.open(paths.store, paths.shared), options.image or ""
    image = _image_finder(store, options, paths, environ, progress)(name)
    return lower_of_image(store, image, name)


def _hostname(options: ContainerOptions, container_id: str, paths: StoragePaths) -> str:
    if "uts" in options.namespaces.joined:
        from rootless.containers.config import hostname_of

        return hostname_of(paths.containers.directory(options.namespaces.container))
    if options.namespaces.uts:
        return options.hostname or container_id[:12]
    return os.uname().nodename


def _with_users(
    texts: dict[str, tuple[str, str]],
    options: ContainerOptions,
    lower: Lower,
    id_maps: IdMaps,
    account: Account | None,
) -> dict[str, tuple[str, str]]:
    """With files that name the account, where the container writes to a directory of the host."""
    if not options.in_place or account is None:
        return texts
    from rootless.engine.preparation.users import user_files
    from rootless.spec.runtime_spec import user_entries

    entries = user_entries(options, lower.config, id_maps, account)
    return {**texts, **user_files(options.rootfs or "/", entries)}


def _in_place(lower: Lower) -> Lower:
    """Raises UsageError for what cannot be written to."""
    tree = lower.tree
    if not isinstance(tree, HostTree) or not os.path.isdir(tree.path):
        raise UsageError(
            "an image file cannot be written to",
            hint="use --overlay or --writable-tmpfs, or unpack it to a directory",
        )
    if not os.access(tree.path, os.W_OK):
        raise UsageError(f"{tree.path} cannot be written to")
    return lower._replace(tree=tree._replace(in_place=True))


def _image_finder(
    store: Store,
    options: ContainerOptions,
    paths: StoragePaths,
    environ: Mapping[str, str],
    progress: ShowProgress | None,
) -> Callable[[str], Image]:
    """A function that gives the image of a name, pulled as the options say."""

    def report_pull(reference: Reference) -> None:
        from rootless.images.events import ImageEvents

        ImageEvents(paths, store).of_transfer("pull", reference)

    def find(name: str) -> Image:
        return find_or_fetch(
            store,
            name,
            options.platform,
            policy=options.pull,
            environ=environ,
            progress=progress,
            pulled=report_pull,
        )

    return find


def _resources(limits: ResourceLimits) -> dict[str, Any]:
    from rootless.spec.options import NO_LIMITS

    if limits == NO_LIMITS:
        return {}
    from rootless.cgroups.devices import block_device_number
    from rootless.spec.resources import make_resources

    return make_resources(limits, cpu_count=os.cpu_count() or 1, device_number=block_device_number)


def _has_apt(tree: HostTree | ImageTree) -> bool:
    from rootless.rootfs.image.paths import has_directory

    return has_directory(tree, APT_DIRECTORY)
