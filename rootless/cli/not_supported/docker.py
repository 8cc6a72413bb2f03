"""Docker's commands and options that this engine does not support: the reason, and an alternative."""

from __future__ import annotations

from rootless.cli.not_supported.missing import Missing

_NO_SWARM = "there is no cluster"
_NO_DAEMON = "there is no daemon"
_NO_WINDOWS = "it is for Windows only"

COMMANDS: dict[str, Missing] = {
    "checkpoint": Missing("containers cannot be checkpointed"),
    "compose": Missing("Compose files are not read", "start each container with 'rootless run -d'"),
    "config": Missing(_NO_SWARM),
    "context": Missing(_NO_DAEMON, "use --root for another store"),
    "node": Missing(_NO_SWARM),
    "plugin": Missing(_NO_DAEMON),
    "search": Missing("registries are not searched", "use 'rootless search-tags REPOSITORY'"),
    "secret": Missing(_NO_SWARM),
    "service": Missing(_NO_SWARM),
    "stack": Missing(_NO_SWARM),
    "swarm": Missing(_NO_SWARM),
    "trust": Missing("signatures are not verified", "pull by digest: NAME@sha256:..."),
}
"""By the first word of the command; those of `container`, `image` and `system` too."""

_NO_LINKS = Missing(
    "links are a legacy of docker's",
    "make a network with 'rootless network create', where containers find each other by name",
)
_NO_LINK_LOCAL = Missing("the kernel chooses link-local addresses", "use --ip6")
_RUN: dict[str, Missing] = {
    "blkio-weight-device": Missing("cgroup v2 has no weight for one device", "use --blkio-weight"),
    "cpu-count": Missing(_NO_WINDOWS, "use --cpus"),
    "cpu-percent": Missing(_NO_WINDOWS, "use --cpus"),
    "cpu-rt-period": Missing("cgroup v2 has no real-time limits", "use --cpu-period"),
    "cpu-rt-runtime": Missing("cgroup v2 has no real-time limits", "use --cpu-quota"),
    "device-cgroup-rule": Missing("an ordinary user cannot set device rules", "use --device"),
    "io-maxbandwidth": Missing(_NO_WINDOWS, "use --device-read-bps and --device-write-bps"),
    "io-maxiops": Missing(_NO_WINDOWS, "use --device-read-iops and --device-write-iops"),
    "kernel-memory": Missing("cgroup v2 does not limit kernel memory apart", "use --memory"),
    "link": _NO_LINKS,
    "link-local-ip": _NO_LINK_LOCAL,
    "memory-swappiness": Missing("cgroup v2 has no swappiness", "use --memory-swap"),
    "runtime": Missing("the engine is its own OCI runtime"),
    "use-api-socket": Missing(_NO_DAEMON),
}
_BUILD: dict[str, Missing] = {
    "builder": Missing("there is one builder, which is no daemon"),
    "cgroup-parent": Missing("the commands of a build have no control group of their own"),
}
_CLUSTER_VOLUME = (
    "availability",
    "group",
    "limit-bytes",
    "required-bytes",
    "scope",
    "secret",
    "sharing",
    "topology-preferred",
    "topology-required",
    "type",
)
OPTIONS: dict[str, dict[str, Missing]] = {
    "build": _BUILD,
    "run": _RUN,
    "create": _RUN,
    "update": _RUN,
    "start": dict.fromkeys(
        ("checkpoint", "checkpoint-dir"), Missing("containers cannot be checkpointed")
    ),
    "rm": {"link": Missing("there are no links")},
    "network connect": {"link": _NO_LINKS, "link-local-ip": _NO_LINK_LOCAL},
    "network create": dict.fromkeys(("config-from", "config-only", "ingress"), Missing(_NO_SWARM)),
    "volume create": dict.fromkeys(_CLUSTER_VOLUME, Missing(_NO_SWARM)),
    "volume ls": {"cluster": Missing(_NO_SWARM)},
    "images": {"tree": Missing("platforms are not shown as a tree", "use 'rootless images'")},
    "rmi": {"platform": Missing("the store keeps one image per platform", "remove it by its ID")},
    "push": {
        "platform": Missing("the store keeps one image per platform", "push that image by its name")
    },
    "": {
        "config": Missing("there is no client configuration", "use --authfile for credentials"),
        "context": Missing(_NO_DAEMON, "use --root for another store"),
        "host": Missing(_NO_DAEMON),
        "log-level": Missing(_NO_DAEMON, "use --debug"),
        "tls": Missing(_NO_DAEMON),
        "tlscacert": Missing(_NO_DAEMON),
        "tlscert": Missing(_NO_DAEMON),
        "tlskey": Missing(_NO_DAEMON),
        "tlsverify": Missing(_NO_DAEMON),
    },
}
"""By the name of the command (empty: before the command), and the long name of the option."""

SHORTHANDS = {
    ("rm", "l"): "link",
    ("", "c"): "context",
    ("", "H"): "host",
    ("", "l"): "log-level",
}
