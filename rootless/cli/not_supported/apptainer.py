"""Apptainer's commands and options that `hpc` does not support: the reason, and an alternative."""

from __future__ import annotations

from rootless.cli.not_supported.missing import Missing

_SIGNATURES = Missing("signatures of SIF files are neither made nor checked")
_LIMITS = Missing(
    "the limits are those of the job", "use the options of the scheduler, or of 'rootless run'"
)
_PRIVILEGES = Missing("the command has no privileges that could be kept or dropped")
_ENCRYPTION = Missing("encrypted images are not read")
_INSTANCES = Missing(
    "containers in the background are those of docker", "use 'rootless run -d' and 'rootless exec'"
)

COMMANDS: dict[str, Missing] = {
    "cache": Missing(
        "images are in the store", "use 'rootless system df' and 'rootless image prune'"
    ),
    "capability": _PRIVILEGES,
    "checkpoint": Missing("containers cannot be checkpointed"),
    "config": Missing("nothing is setuid", "see docs/configuration.md for defaults of a site"),
    "instance": _INSTANCES,
    "key": _SIGNATURES,
    "keyserver": _SIGNATURES,
    "oci": Missing("the engine is its own OCI runtime"),
    "plugin": Missing("there are no plugins"),
    "push": Missing("SIF files are not pushed", "use 'rootless push' for images"),
    "registry": Missing("registries are those of docker", "use 'rootless login'"),
    "remote": Missing("registries are those of docker", "use 'rootless login'"),
    "search": Missing("libraries are not searched", "use 'rootless search-tags REPOSITORY'"),
    "sif": Missing("parts of SIF files are not shown", "use unsquashfs -o OFFSET"),
    "sign": _SIGNATURES,
    "verify": _SIGNATURES,
    "version": Missing("the version is that of the program", "use 'rootless version'"),
}
"""By the word after `hpc`."""

OPTIONS: dict[str, Missing] = {
    **dict.fromkeys(
        (
            "apply-cgroups",
            "blkio-weight",
            "blkio-weight-device",
            "cpu-shares",
            "cpus",
            "cpuset-cpus",
            "cpuset-mems",
            "memory",
            "memory-reservation",
            "memory-swap",
            "oom-kill-disable",
            "pids-limit",
        ),
        _LIMITS,
    ),
    **dict.fromkeys(("add-caps", "allow-setuid", "drop-caps", "keep-privs"), _PRIVILEGES),
    **dict.fromkeys(("passphrase", "pem-path"), _ENCRYPTION),
    **dict.fromkeys(("arch", "arch-variant"), Missing("platforms are docker's", "use --platform")),
    **dict.fromkeys(
        ("docker-username", "docker-password", "docker-login"),
        Missing("passwords are not taken from options", "use 'rootless login'"),
    ),
    "detach": _INSTANCES,
    "dir": Missing("a file has a path", "use the path as FILE"),
    "dns": Missing("the resolver is the host's", "use 'rootless run --dns'"),
    "fusemount": Missing(
        "file systems are not mounted for a container", "mount it on the host and use -B"
    ),
    "netns-path": Missing("a network namespace is not joined", "use 'rootless run --network'"),
    "network-args": Missing("networks have no plugins", "use 'rootless run --network'"),
    "no-https": Missing("insecure registries are set in registries.conf"),
    "nvccli": Missing("nvidia-container-cli is not used", "use --nv with a CDI specification"),
    "pid-file": Missing("the command has the PID of the process that was started"),
    "publish": Missing("the network is the host's", "use 'rootless run -p'"),
    "sandbox": Missing(
        "images are not unpacked",
        "use 'rootless export' of a container and tar -x, and hpc exec -w DIR",
    ),
    "section": Missing("definition files are not read"),
    "update": Missing("an image file is made anew", "use --force"),
    "rm": Missing("nothing is left of a container anyway"),
    "security": Missing("security options are docker's", "use 'rootless run --security-opt'"),
    "tty": Missing("the terminal is the caller's own"),
    "vm": Missing("there are no virtual machines"),
    "volume": Missing("volumes are docker's", "use -B, or 'rootless run -v'"),
}
"""By the long name of an option of any command of `hpc`."""

SHORTHANDS = {"d": "detach", "t": "tty", "v": "volume"}
