"""Reads the command line of `run`, `create` and `update` into `ContainerOptions`: one function per option that has a
grammar.

The grammar of a flag's value is imported only if the flag is given: each module costs the start something.
"""

from __future__ import annotations

import os

from rootless.cli.context import (
    current_directory,
    read_text,
)
from rootless.cli.grammar import GrammarError, Parsed, spelling
from rootless.cli.run import options as rows
from rootless.errors import UsageError
from rootless.network.options import DEFAULT_NETWORK, HOST, NONE, NetworkOptions
from rootless.spec import options as values
from rootless.spec.options import ContainerOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from rootless.cli.flags.storage import StorageOptions
    from rootless.cli.grammar import Texts
    from rootless.configuration.values import Configuration
    from rootless.oci.platform import Platform
    from rootless.runtime.extensions import ChownMode
    from rootless.runtime.idmap import UserNamespaceMode
    from rootless.spec.health import HealthCheck
    from rootless.spec.storage_driver import StorageDriver

    Value = TypeVar("Value")


def configured_options(
    parsed: Parsed, configuration: Configuration | None, command_name: str = "run"
) -> ContainerOptions:
    """As `options_of` for this process, with what rootless.toml sets. Raises UsageError, also for an option that the site
    has locked."""
    options = options_of(parsed, os.environ, current_directory, command_name)
    if configuration is None:
        return options
    from rootless.cli.run.configured import with_configuration

    return with_configuration(options, configuration, os.environ)


def options_of(
    parsed: Parsed,
    environ: Mapping[str, str],
    getcwd: Callable[[], str],
    command_name: str = "run",
) -> ContainerOptions:
    """The values of what was typed. The first argument is the image, unless --rootfs is given.

    Args:
        environ: Where `-e NAME` takes its value from.
        getcwd: The directory that relative sources of mounts are resolved from.

    Raises:
        GrammarError: there is neither an image nor --rootfs.
        UsageError: a value that makes no sense, or a file that cannot be read.
    """
    rootfs, command, image = parsed[rows.ROOTFS], parsed.arguments, None
    if rootfs is None:
        if not command:
            raise GrammarError(
                f"'rootless {command_name}' requires at least 1 argument", exit_status=1
            )
        image, command = _image(command[0]), command[1:]
    _check_unused(parsed)
    storage = _storage_options(parsed)
    entrypoint, command = _entrypoint(parsed, command)
    return ContainerOptions(
        image=image,
        rootfs=None if rootfs is None else os.path.join(_base(rootfs, getcwd), rootfs),
        platform=_platform(parsed),
        pull=_pull_policy(parsed),
        storage_driver=_storage_driver(parsed),
        always_sync=storage is not None and storage.always_sync,
        storage=values.NO_STORAGE_LIMITS if storage is None else storage.limits,
        overlays=_overlays(parsed, getcwd),
        writable_tmpfs=_writable_tmpfs(parsed),
        name=parsed[rows.NAME] or None,
        replace=parsed[rows.REPLACE],
        remove=parsed[rows.RM] or parsed[rows.RMI],
        remove_image=parsed[rows.RMI],
        cidfile=parsed[rows.CIDFILE],
        labels=_labels(parsed),
        annotations=_annotations(parsed),
        trace=_trace(parsed),
        prefetch=_prefetch(parsed),
        snapshot_each=_snapshot_each(parsed),
        command=command,
        entrypoint=entrypoint,
        workdir=parsed[rows.WORKDIR] or None,
        user=parsed[rows.USER] or None,
        groups=parsed[rows.GROUP_ADD],
        umask=_umask(parsed),
        variables=_variables(parsed, environ),
        terminal=parsed[rows.TTY],
        interactive=parsed[rows.INTERACTIVE],
        attach=_streams(parsed),
        signals=parsed[rows.SIG_PROXY],
        detach_keys=_detach_keys(parsed),
        log=_log(parsed),
        init=parsed[rows.INIT],
        stop_signal=_stop_signal(parsed),
        stop_timeout=parsed[rows.STOP_TIMEOUT],
        time_limit=_time_limit(parsed),
        restart=_restart(parsed),
        health=_health(parsed),
        oom_score_adj=parsed[rows.OOM_SCORE_ADJ],
        ulimits=_ulimits(parsed),
        mounts=_mounts(parsed, getcwd),
        volumes_from=_volumes_from(parsed),
        devices=_devices(parsed),
        cdi_devices=_cdi_devices(parsed),
        cdi_directories=tuple(
            os.path.join(_base(each, getcwd), each) for each in parsed[rows.CDI_SPEC_DIR]
        ),
        read_only=parsed[rows.READ_ONLY],
        shm_size=_shm_size(parsed),
        hostname=parsed[rows.HOSTNAME] or None,
        domainname=parsed[rows.DOMAINNAME] or None,
        hosts=_hosts(parsed),
        dns=_dns(parsed),
        network=_network(parsed),
        namespaces=_namespaces(parsed),
        userns=_userns(parsed),
        privileged=parsed[rows.PRIVILEGED],
        security=_security(parsed),
        sysctls=_sysctls(parsed),
        limits=limits_of(parsed),
        cgroup_parent=parsed[rows.CGROUP_PARENT],
    )


def _check_unused(parsed: Parsed) -> None:
    """Raise UsageError for a value of an option that has one value here."""
    if not parsed[rows.DISABLE_CONTENT_TRUST]:
        raise UsageError(
            "--disable-content-trust=false is not supported: signatures are not verified",
            hint="use an image by its digest: NAME@sha256:...",
        )
    isolation = parsed[rows.ISOLATION_TECHNOLOGY]
    if isolation and isolation.lower() != "default":
        raise UsageError(f"invalid isolation ({isolation}): linux only supports 'default'")


def _each(parsed: Parsed, option: Texts, parse: Callable[[str], Value]) -> tuple[Value, ...]:
    """The values of a flag that may be repeated; an error names the flag. Raises GrammarError."""
    found = []
    for text in parsed[option]:
        try:
            found.append(parse(text))
        except UsageError as error:
            raise GrammarError(
                f'invalid argument "{text}" for "{spelling(option)}" flag: {error.message}'
            ) from None
    return tuple(found)


def _base(path: str, getcwd: Callable[[], str]) -> str:
    """The directory that a path is resolved from."""
    return "/" if path.startswith("/") else getcwd()


def _image(text: str) -> str:
    if not text.startswith((".", "/", "docker://")):
        return text
    from rootless.cli.flags.images import image_name

    return image_name(text)


def _platform(parsed: Parsed) -> Platform | None:
    text = parsed[rows.PLATFORM]
    if not text:
        return None
    from rootless.oci.platform import parse_platform

    return parse_platform(text)


def _pull_policy(parsed: Parsed) -> values.PullPolicy:
    text = parsed[rows.PULL]
    try:
        return values.PullPolicy(text) if text else values.PullPolicy.MISSING
    except ValueError:
        *first, last = (each.value for each in values.PullPolicy)
        raise UsageError(
            f"invalid pull option: {text!r}: must be one of {', '.join(first)} or {last}"
        ) from None


def _storage_driver(parsed: Parsed) -> StorageDriver | None:
    text = parsed[rows.STORAGE_DRIVER]
    if not text:
        return None
    from rootless.spec.storage_driver import parse_driver

    return parse_driver(text, "--storage-driver")


def _storage_options(parsed: Parsed) -> StorageOptions | None:
    if not parsed[rows.STORAGE_OPT]:
        return None
    from rootless.cli.flags.storage import parse_storage_options

    return parse_storage_options(parsed[rows.STORAGE_OPT])


def _overlays(parsed: Parsed, getcwd: Callable[[], str]) -> tuple[values.Overlay, ...]:
    if not parsed[rows.OVERLAY]:
        return ()
    from rootless.cli.flags.storage import parse_overlay

    return _each(parsed, rows.OVERLAY, lambda text: parse_overlay(text, getcwd))


def _writable_tmpfs(parsed: Parsed) -> int | None:
    text = parsed[rows.WRITABLE_TMPFS]
    if text is None:
        return None
    from rootless.cli.flags.storage import parse_writable_tmpfs

    return parse_writable_tmpfs(text)


def _labels(parsed: Parsed) -> Mapping[str, str]:
    if not parsed[rows.LABEL] and not parsed[rows.LABEL_FILE]:
        return {}
    from rootless.cli.flags.environment import parse_labels

    return parse_labels(parsed[rows.LABEL], parsed[rows.LABEL_FILE], read_text)


def _annotations(parsed: Parsed) -> Mapping[str, str]:
    if not parsed[rows.ANNOTATION]:
        return {}
    from rootless.cli.flags.environment import parse_annotations

    return parse_annotations(parsed[rows.ANNOTATION])


def _umask(parsed: Parsed) -> int | None:
    text = parsed[rows.UMASK]
    if text is None:
        return None
    if not text or set(text) - set("01234567"):
        raise UsageError(f"invalid umask: {text!r}", hint="use an octal number up to 0777")
    return int(text, 8)


def _variables(parsed: Parsed, environ: Mapping[str, str]) -> values.Variables:
    unset = tuple((name, None) for name in parsed[rows.UNSETENV])
    if not parsed[rows.ENV] and not parsed[rows.ENV_FILE]:
        return unset
    from rootless.cli.flags.environment import parse_variables

    given = parse_variables(parsed[rows.ENV], parsed[rows.ENV_FILE], environ, read_text)
    return (*unset, *given)


def _streams(parsed: Parsed) -> values.Streams:
    """Those of -a where it was given, else all."""
    if not parsed[rows.ATTACH]:
        return values.ALL_STREAMS
    wanted = set(_each(parsed, rows.ATTACH, _stream))
    return values.Streams("stdin" in wanted, "stdout" in wanted, "stderr" in wanted)


def _stream(text: str) -> str:
    if text.lower() not in {"stdin", "stdout", "stderr"}:
        raise UsageError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def _detach_keys(parsed: Parsed) -> bytes:
    text = parsed[rows.DETACH_KEYS]
    if not text:
        return b""
    from rootless.cli.flags.detach_keys import parse_detach_keys

    return parse_detach_keys(text)


def _log(parsed: Parsed) -> values.LogOptions:
    driver, options = parsed[rows.LOG_DRIVER], parsed[rows.LOG_OPT]
    if not driver and not options:
        return values.DEFAULT_LOG
    from rootless.cli.flags.logging import parse_log

    return parse_log(driver, options)


def _entrypoint(parsed: Parsed, command: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """The program of --entrypoint, and the command with the further words of an array before it."""
    text = parsed[rows.ENTRYPOINT]
    if not text or not text.startswith("["):
        return text, command
    from rootless.cli.flags.entrypoint import parse_entrypoint

    program, *words = parse_entrypoint(text)
    return program, (*words, *command)


def _time_limit(parsed: Parsed) -> int:
    seconds = parsed[rows.TIMEOUT] or 0
    if seconds < 0:
        raise UsageError(f"--timeout: {seconds} is negative")
    return seconds


def _stop_signal(parsed: Parsed) -> str | None:
    text = parsed[rows.STOP_SIGNAL]
    if not text:
        return None
    from rootless.cli.flags.signals import parse_signal

    return parse_signal(text)


def _restart(parsed: Parsed) -> values.RestartPolicy:
    """Raises GrammarError for what docker's command line refuses, and UsageError for what its daemon does."""
    try:
        return restart_of(parsed)
    except UsageError as error:
        if error.message.startswith("invalid restart policy format"):
            raise GrammarError(error.message) from None
        raise


def restart_of(parsed: Parsed) -> values.RestartPolicy:
    """The policy of --restart. Raises UsageError."""
    text = parsed[rows.RESTART]
    if not text:
        return values.NO_RESTART
    from rootless.cli.flags.restart import parse_restart

    return parse_restart(text)


_HEALTH_ROWS = tuple(
    row for row in rows.RUN_OPTIONS if row.group == rows.HEALTH and row is not rows.NO_HEALTHCHECK
)


def _health(parsed: Parsed) -> HealthCheck | None:
    given = (parsed.values[row.long] is not None for row in _HEALTH_ROWS)
    if not (parsed[rows.NO_HEALTHCHECK] or any(given)):
        return None
    from rootless.cli.run.health import read_health

    return read_health(parsed)


def _ulimits(parsed: Parsed) -> tuple[values.Ulimit, ...]:
    if not parsed[rows.ULIMIT]:
        return ()
    from rootless.cli.flags.ulimits import parse_ulimit

    limits = _each(parsed, rows.ULIMIT, parse_ulimit)
    return tuple({each.name: each for each in limits}.values())


def _mounts(parsed: Parsed, getcwd: Callable[[], str]) -> tuple[values.UserMount, ...]:
    volumes, mounts, tmpfs = parsed[rows.VOLUME], parsed[rows.MOUNT], parsed[rows.TMPFS]
    zone = parsed[rows.TZ]
    if parsed[rows.VOLUME_DRIVER]:
        from rootless.volumes.options import check_driver

        name = next(iter(volumes), "").partition(":")[0]
        check_driver(name, parsed[rows.VOLUME_DRIVER] or "")
    if not volumes and not mounts and not tmpfs and not zone:
        return ()
    from rootless.cli.flags.mounts import parse_mounts

    found = parse_mounts(volumes, mounts, tmpfs, getcwd)
    if zone:
        from rootless.cli.run.timezone import parse_timezone

        return (*found, parse_timezone(zone))
    return found


def _volumes_from(parsed: Parsed) -> tuple[values.VolumesFrom, ...]:
    if not parsed[rows.VOLUMES_FROM]:
        return ()
    from rootless.cli.flags.volume import parse_volumes_from

    return tuple(map(parse_volumes_from, parsed[rows.VOLUMES_FROM]))


def _devices(parsed: Parsed) -> tuple[values.Device, ...]:
    if not parsed[rows.DEVICE]:
        return ()
    from rootless.cdi.names import is_qualified
    from rootless.cli.flags.mounts import parse_device

    found = _each(
        parsed, rows.DEVICE, lambda text: None if is_qualified(text) else parse_device(text)
    )
    return tuple(device for device in found if device is not None)


def _cdi_devices(parsed: Parsed) -> tuple[str, ...]:
    if not parsed[rows.DEVICE] and not parsed[rows.GPUS]:
        return ()
    from rootless.cdi.gpus import parse_gpus
    from rootless.cdi.names import is_qualified

    gpus = [name for text in parsed[rows.GPUS] for name in parse_gpus(text)]
    return (*filter(is_qualified, parsed[rows.DEVICE]), *gpus)


def _shm_size(parsed: Parsed) -> int:
    text = parsed[rows.SHM_SIZE]
    if text is None:
        return values.DEFAULT_SHM_SIZE
    from rootless.cli.flags.sizes import parse_size

    return parse_size(text, "--shm-size") or values.DEFAULT_SHM_SIZE


def _hosts(parsed: Parsed) -> tuple[values.HostEntry, ...]:
    if not parsed[rows.ADD_HOST]:
        return ()
    from rootless.cli.flags.names import parse_add_host

    return _each(parsed, rows.ADD_HOST, parse_add_host)


def _dns(parsed: Parsed) -> values.Dns:
    servers = parsed[rows.DNS]
    if servers:
        from rootless.cli.flags.names import parse_dns

        servers = _each(parsed, rows.DNS, parse_dns)
    domains = parsed[rows.DNS_SEARCH]
    if domains:
        from rootless.cli.flags.names import parse_dns_search

        domains = _each(parsed, rows.DNS_SEARCH, parse_dns_search)
    return values.Dns(servers, domains, parsed[rows.DNS_OPTION])


_NETWORK_ROWS = (
    rows.NETWORK,
    rows.PUBLISH,
    rows.PUBLISH_ALL,
    rows.EXPOSE,
    rows.MAC_ADDRESS,
    rows.NETWORK_ALIAS,
    rows.IP,
    rows.IP6,
)
_PLAIN_NETWORKS = ((NONE,), (HOST,))
"""Words without anything to parse."""


def _network(parsed: Parsed) -> NetworkOptions:
    given = [row.long for row in _NETWORK_ROWS if parsed.values[row.long]]
    if not given:
        return DEFAULT_NETWORK
    if given == [rows.NETWORK.long] and parsed[rows.NETWORK] in _PLAIN_NETWORKS:
        return NetworkOptions(parsed[rows.NETWORK][0])
    from rootless.cli.run.network import read_network

    return read_network(parsed)


def _namespaces(parsed: Parsed) -> values.NamespaceModes:
    modes = {
        "pid": parsed[rows.PID],
        "ipc": parsed[rows.IPC],
        "uts": parsed[rows.UTS],
        "cgroupns": parsed[rows.CGROUPNS],
    }
    if not any(mode is not None for mode in modes.values()):
        return values.DEFAULT_NAMESPACES
    from rootless.cli.flags.namespaces import parse_namespaces

    return parse_namespaces(**modes)


def _userns(parsed: Parsed) -> UserNamespaceMode:
    text = parsed[rows.USERNS]
    if not text:
        return values.ROOT_IS_CALLER
    from rootless.cli.flags.namespaces import parse_userns

    return parse_userns(text)


def _security(parsed: Parsed) -> values.SecurityOptions:
    options, add, drop = parsed[rows.SECURITY_OPT], parsed[rows.CAP_ADD], parsed[rows.CAP_DROP]
    privileged, chown = parsed[rows.PRIVILEGED], _chown(parsed)
    if not (options or add or drop or privileged):
        return values.DEFAULT_SECURITY if chown is None else values.SecurityOptions(chown=chown)
    from rootless.cli.flags.security import parse_security

    return parse_security(options, add, drop, privileged=privileged)._replace(chown=chown)


def _chown(parsed: Parsed) -> ChownMode | None:
    text = parsed[rows.CHOWN]
    if text is None:
        return None
    from rootless.cli.flags.security import parse_chown

    return parse_chown(text, "--chown")


def _sysctls(parsed: Parsed) -> Mapping[str, str]:
    if not parsed[rows.SYSCTL]:
        return {}
    from rootless.cli.flags.ulimits import parse_sysctls

    return parse_sysctls(parsed[rows.SYSCTL])


def _trace(parsed: Parsed) -> values.TraceOptions | None:
    text = parsed[rows.TRACE]
    if text is None:
        return None
    from rootless.cli.tracing.option import parse_trace

    return parse_trace(text, removed_by="--rm" if parsed[rows.RM] else "")


def _prefetch(parsed: Parsed) -> str:
    text = parsed[rows.PREFETCH]
    if not text:
        return ""
    from rootless.cli.tracing.option import parse_prefetch

    return parse_prefetch(text)


def _snapshot_each(parsed: Parsed) -> str:
    text = parsed[rows.SNAPSHOT_EACH]
    if not text:
        return ""
    from rootless.cli.flags.snapshots import parse_each

    return parse_each(text, in_memory=parsed[rows.WRITABLE_TMPFS] is not None)


_LIMIT_ROWS = tuple(row for row in rows.RUN_OPTIONS if row.group == rows.LIMITS)


_NO_LIMIT: tuple[object, ...] = (None, 0, ())


def limits_of(parsed: Parsed) -> values.ResourceLimits:
    """The limits that were given; zero is none. Raises UsageError."""
    # An empty text is no size; docker refuses it.
    if not any(parsed.values[row.long] not in _NO_LIMIT for row in _LIMIT_ROWS):
        return values.NO_LIMITS
    from rootless.cli.run.limits import read_limits

    return read_limits(parsed)
