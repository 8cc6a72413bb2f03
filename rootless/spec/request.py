"""What a user asked of `run`, word for word: the flags of the command line or the arguments of the Python API. Pure.

Values are still strings in Docker's spelling where Docker's are; `rootless.spec.options` gives them a meaning.
"""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class RunRequest(NamedTuple):
    """One container. `image` is a reference, or None when `rootfs` names a directory."""

    image: str | None = None
    rootfs: str | None = None
    command: tuple[str, ...] = ()

    interactive: bool = False
    tty: bool = False
    detach: bool = False
    remove: bool = False
    name: str | None = None
    env: tuple[str, ...] = ()
    env_file: tuple[str, ...] = ()
    workdir: str | None = None
    user: str | None = None
    entrypoint: str | None = None
    volume: tuple[str, ...] = ()
    mount: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    read_only: bool = False
    hostname: str | None = None
    add_host: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_option: tuple[str, ...] = ()
    network: str | None = None
    pid: str | None = None
    ipc: str | None = None
    uts: str | None = None
    userns: str | None = None
    cgroupns: str | None = None
    cgroup_parent: str | None = None
    device: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    privileged: bool = False
    shm_size: str | None = None
    ulimit: tuple[str, ...] = ()
    sysctl: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    umask: str | None = None
    init: bool = False
    stop_signal: str | None = None
    stop_timeout: int | None = None
    label: tuple[str, ...] = ()
    label_file: tuple[str, ...] = ()
    annotation: tuple[str, ...] = ()
    cidfile: str | None = None
    pull: str | None = None
    platform: str | None = None
    oom_score_adj: int | None = None
    sig_proxy: bool = True
    attach: tuple[str, ...] = ()
    detach_keys: str | None = None
    storage_driver: str | None = None

    memory: str | None = None
    memory_swap: str | None = None
    memory_reservation: str | None = None
    cpus: str | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids_limit: int | None = None
    blkio_weight: int | None = None
    device_read_bps: tuple[str, ...] = ()
    device_write_bps: tuple[str, ...] = ()
    device_read_iops: tuple[str, ...] = ()
    device_write_iops: tuple[str, ...] = ()
    oom_kill_disable: bool = False

    extra: Mapping[str, str] = {}
    """Options that only this engine has, by long name."""
