"""Podman's commands and options that neither this engine nor Docker supports: the reason, and an alternative."""

from __future__ import annotations

from rootless.cli.not_supported.missing import Missing

_NO_PODS = Missing("there are no pods", "run containers one by one")
_NO_UNITS = Missing(
    "systemd units are not written", "use --restart, or a unit that calls 'rootless run'"
)
_NO_SIGNING = Missing("signatures are not made or checked", "use a digest: NAME@sha256:...")
_NO_MACHINE = Missing("containers run on this machine, not in a virtual one")
_NO_REMOTE = Missing("there is no remote service")
_NO_ARTIFACTS = Missing("artifacts that are no images are not handled")
_NO_CHECKPOINTS = Missing("containers cannot be checkpointed")
_NO_ENCRYPTION = Missing("encrypted images are not read")
_NO_ENGINE_TABLE = Missing("the tables have docker's columns", "use --format")
_PLATFORM = Missing("a platform is one option", "use --platform OS/ARCHITECTURE/VARIANT")
_RETRY = Missing("a request is repeated as often as docker does")
_CERTIFICATES = Missing("certificates are read from docker's and podman's certs.d")
_MAPS = Missing("the mapping of ids is chosen by --userns", "use --userns=keep-id")
_ETC = Missing("files of /etc are made as docker does", "bind your own: -v FILE:/etc/FILE")

COMMANDS: dict[str, Missing] = {
    "artifact": _NO_ARTIFACTS,
    "auto-update": _NO_UNITS,
    "cleanup": Missing("the monitor of a container cleans up when it ends"),
    "clone": Missing("containers are not copied", "use 'rootless commit' and 'rootless run'"),
    "connection": _NO_REMOTE,
    "farm": _NO_REMOTE,
    "generate": _NO_UNITS,
    "init": Missing("a container is prepared when it starts", "use 'rootless create'"),
    "kube": Missing("Kubernetes files are not read", "run each container with 'rootless run -d'"),
    "machine": _NO_MACHINE,
    "reload": Missing("the rules of networks are not the host's, and nothing else changes them"),
    "migrate": Missing("there is nothing to migrate"),
    "mount": Missing(
        "the file system of a container is not mounted outside it",
        "use 'rootless cp' or, for an image, 'rootless image mount'",
    ),
    "pod": _NO_PODS,
    "quadlet": _NO_UNITS,
    "renumber": Missing("there are no numbered locks"),
    "reset": Missing("nothing is outside of one directory", "use 'rootless system prune -a'"),
    "restore": _NO_CHECKPOINTS,
    "runlabel": Missing("commands in labels are not executed", "use 'rootless run'"),
    "scp": Missing("images are not sent over SSH", "use 'rootless save | ssh HOST rootless load'"),
    "sign": _NO_SIGNING,
    "tree": Missing("layers are not shown as a tree", "use 'rootless history'"),
    "unmount": Missing("the file system of a container is not mounted outside it"),
    "unshare": Missing("no file of the store has a foreign owner", "use unshare(1)"),
}

_RUN: dict[str, Missing] = {
    **dict.fromkeys(("arch", "os", "variant"), _PLATFORM),
    **dict.fromkeys(
        ("authfile", "creds", "tls-verify"),
        Missing("registries are asked by 'rootless pull'", "pull the image first"),
    ),
    **dict.fromkeys(("retry", "retry-delay"), _RETRY),
    **dict.fromkeys(("uidmap", "gidmap", "subuidname", "subgidname", "hostuser"), _MAPS),
    **dict.fromkeys(("hosts-file", "no-hostname", "no-hosts", "passwd", "passwd-entry"), _ETC),
    "group-entry": _ETC,
    **dict.fromkeys(("pod", "pod-id-file", "requires"), _NO_PODS),
    **dict.fromkeys(
        ("conmon-pidfile", "pidfile"),
        Missing("process ids are not written to files", "use 'rootless inspect -f {{.State.Pid}}'"),
    ),
    **dict.fromkeys(
        ("cgroup-conf", "cgroups", "rdt-class"),
        Missing("limits are docker's options", "use --memory and the like"),
    ),
    **dict.fromkeys(
        ("systemd", "sdnotify"),
        Missing("systemd in a container gets no help", "use --init for a plain init"),
    ),
    **dict.fromkeys(
        ("env-host", "env-merge", "http-proxy"),
        Missing("the caller's environment is not passed on", "use -e NAME"),
    ),
    "cert-dir": _CERTIFICATES,
    "chrootdirs": _ETC,
    "decryption-key": _NO_ENCRYPTION,
    "image-volume": Missing("volumes of the image are made as docker makes them"),
    "init-path": Missing("the init is a part of the engine", "use --init"),
    "personality": Missing("the execution domain cannot be changed"),
    "read-only-tmpfs": Missing("--read-only mounts no tmpfs", "use --tmpfs /run --tmpfs /tmp"),
    "seccomp-policy": Missing("profiles in images are not used", "use --security-opt seccomp=FILE"),
    "secret": Missing("secrets are not kept", "bind a file: -v FILE:/run/secrets/NAME:ro"),
    "shm-size-systemd": Missing("systemd in a container gets no help", "use --shm-size"),
    "unsetenv-all": Missing("variables are taken out one by one", "use --unsetenv"),
}

OPTIONS: dict[str, dict[str, Missing]] = {
    "run": _RUN,
    "create": _RUN,
    "ps": {
        **dict.fromkeys(("ns", "pod"), _NO_ENGINE_TABLE),
        "external": Missing("there are no containers of other programs in the store"),
        "sync": Missing("the state of a container is looked up each time"),
        "watch": Missing("a list is printed once", "use watch(1)"),
    },
    "images": dict.fromkeys(("history", "sort"), _NO_ENGINE_TABLE),
    "exec": {"no-session": Missing("an executed command leaves no session")},
    "rm": {"depend": Missing("no container depends on another", "name each container")},
    "wait": {
        "exit-first-match": Missing(
            "containers are waited for one after the other", "use 'rootless events -f event=die'"
        )
    },
    "events": {"no-trunc": Missing("ids are not shortened")},
    "system prune": {
        "build": Missing("a build leaves no containers", "use 'rootless builder prune'")
    },
    "volume create": dict.fromkeys(
        ("uid", "gid"),
        Missing("a new volume has the owner of the image's directory", "use -v NAME:DIR:U"),
    ),
    "volume rm": {
        "time": Missing("containers are not removed with a volume", "use 'rootless rm -f'")
    },
    "update": {
        **dict.fromkeys(
            (
                "health-cmd",
                "health-interval",
                "health-retries",
                "health-start-period",
                "health-timeout",
                "health-on-failure",
                "health-log-destination",
                "health-max-log-count",
                "health-max-log-size",
                "health-startup-cmd",
                "health-startup-interval",
                "health-startup-retries",
                "health-startup-success",
                "health-startup-timeout",
                "no-healthcheck",
                "env",
                "unsetenv",
                "ulimit",
            ),
            Missing("limits and the restart policy can be changed", "create the container anew"),
        ),
        **dict.fromkeys(
            (
                "blkio-weight-device",
                "device-read-bps",
                "device-write-bps",
                "device-read-iops",
                "device-write-iops",
            ),
            Missing("limits of devices are set when a container is created"),
        ),
    },
    "network create": {
        "disable-dns": Missing("every network has DNS"),
        "dns": Missing("the DNS of a network asks the host's", "use 'rootless run --dns'"),
        "interface-name": Missing("a bridge is not an interface of the host"),
        "route": Missing("a network has one way out", "use --internal for one without"),
    },
    "logs": {
        "color": Missing("logs have no colours"),
        "names": Missing("the log is of one container"),
    },
    "stats": {
        "interval": Missing("a figure is measured each second"),
        "no-reset": Missing("the screen is cleared as docker does", "use --no-stream"),
    },
    "cp": {"overwrite": Missing("a directory and a file do not replace each other")},
    "pull": {
        **dict.fromkeys(("arch", "os", "variant"), _PLATFORM),
        **dict.fromkeys(("retry", "retry-delay"), _RETRY),
        "cert-dir": _CERTIFICATES,
        "decryption-key": _NO_ENCRYPTION,
        "policy": Missing("a pull always asks the registry", "use 'rootless run --pull POLICY'"),
    },
    "commit": {
        "format": Missing("an image has OCI's form", "use 'rootless save --format'"),
        "iidfile": Missing("the id is printed", "redirect it to a file"),
        "include-volumes": Missing("volumes are no part of an image", "use 'rootless cp'"),
        "squash": Missing("a commit adds one layer", "use 'rootless export' and 'rootless import'"),
    },
    "save": {
        **dict.fromkeys(("compress", "uncompressed"), Missing("layers are saved as they are")),
        "multi-image-archive": Missing("several images are saved in one archive anyway"),
    },
    "import": dict.fromkeys(("arch", "os", "variant"), _PLATFORM),
}
"""By the name of the command, and the long name of the option."""
