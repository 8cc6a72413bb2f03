"""Every command and option of Docker's and podman's is there, or says why not and what to use."""

import pytest

from rootless.cli.index import COMMANDS, Group, load_command
from rootless.cli.main import main
from rootless.cli.not_supported.lookup import missing_command, missing_option

# `docker help` of 28.5, and the commands of the groups that this engine has too.
DOCKER = [
    "run",
    "exec",
    "ps",
    "build",
    "pull",
    "push",
    "images",
    "login",
    "logout",
    "search",
    "version",
    "info",
    "builder",
    "checkpoint",
    "container",
    "context",
    "image",
    "manifest",
    "network",
    "plugin",
    "system",
    "trust",
    "volume",
    "config",
    "node",
    "secret",
    "service",
    "stack",
    "swarm",
    "attach",
    "commit",
    "cp",
    "create",
    "diff",
    "events",
    "export",
    "history",
    "import",
    "inspect",
    "kill",
    "load",
    "logs",
    "pause",
    "port",
    "rename",
    "restart",
    "rm",
    "rmi",
    "save",
    "start",
    "stats",
    "stop",
    "tag",
    "top",
    "unpause",
    "update",
    "wait",
]
DOCKER_GROUPS = {
    "container": [
        "attach",
        "commit",
        "cp",
        "create",
        "diff",
        "exec",
        "export",
        "inspect",
        "kill",
        "logs",
        "ls",
        "pause",
        "port",
        "prune",
        "rename",
        "restart",
        "rm",
        "run",
        "start",
        "stats",
        "stop",
        "top",
        "unpause",
        "update",
        "wait",
    ],
    "image": [
        "build",
        "history",
        "import",
        "inspect",
        "load",
        "ls",
        "prune",
        "pull",
        "push",
        "rm",
        "save",
        "tag",
    ],
    "system": ["df", "events", "info", "prune"],
    "builder": ["build", "prune"],
    "manifest": ["annotate", "create", "inspect", "push", "rm"],
}
# `docker COMMAND --help` of 28.5, without what every command has.
DOCKER_OPTIONS = {
    "run": [
        "add-host",
        "annotation",
        "attach",
        "blkio-weight",
        "blkio-weight-device",
        "cap-add",
        "cap-drop",
        "cgroup-parent",
        "cgroupns",
        "cidfile",
        "cpu-count",
        "cpu-percent",
        "cpu-period",
        "cpu-quota",
        "cpu-rt-period",
        "cpu-rt-runtime",
        "cpu-shares",
        "cpus",
        "cpuset-cpus",
        "cpuset-mems",
        "detach",
        "detach-keys",
        "device",
        "device-cgroup-rule",
        "device-read-bps",
        "device-read-iops",
        "device-write-bps",
        "device-write-iops",
        "disable-content-trust",
        "dns",
        "dns-option",
        "dns-search",
        "domainname",
        "entrypoint",
        "env",
        "env-file",
        "expose",
        "gpus",
        "group-add",
        "health-cmd",
        "health-interval",
        "health-retries",
        "health-start-interval",
        "health-start-period",
        "health-timeout",
        "hostname",
        "init",
        "interactive",
        "io-maxbandwidth",
        "io-maxiops",
        "ip",
        "ip6",
        "ipc",
        "isolation",
        "kernel-memory",
        "label",
        "label-file",
        "link",
        "link-local-ip",
        "log-driver",
        "log-opt",
        "mac-address",
        "memory",
        "memory-reservation",
        "memory-swap",
        "memory-swappiness",
        "mount",
        "name",
        "network",
        "network-alias",
        "no-healthcheck",
        "oom-kill-disable",
        "oom-score-adj",
        "pid",
        "pids-limit",
        "platform",
        "privileged",
        "publish",
        "publish-all",
        "pull",
        "quiet",
        "read-only",
        "restart",
        "rm",
        "runtime",
        "security-opt",
        "shm-size",
        "sig-proxy",
        "stop-signal",
        "stop-timeout",
        "storage-opt",
        "sysctl",
        "tmpfs",
        "tty",
        "ulimit",
        "use-api-socket",
        "user",
        "userns",
        "uts",
        "volume",
        "volume-driver",
        "volumes-from",
        "workdir",
    ],
    "build": [
        "add-host",
        "allow",
        "annotation",
        "attest",
        "build-arg",
        "build-context",
        "builder",
        "cache-from",
        "cache-to",
        "call",
        "cgroup-parent",
        "check",
        "file",
        "iidfile",
        "label",
        "load",
        "metadata-file",
        "network",
        "no-cache",
        "no-cache-filter",
        "output",
        "platform",
        "progress",
        "provenance",
        "pull",
        "push",
        "quiet",
        "sbom",
        "secret",
        "shm-size",
        "ssh",
        "tag",
        "target",
        "ulimit",
    ],
    "ps": ["all", "filter", "format", "last", "latest", "no-trunc", "quiet", "size"],
    "rm": ["force", "link", "volumes"],
    "images": ["all", "digests", "filter", "format", "no-trunc", "quiet", "tree"],
    "rmi": ["force", "no-prune", "platform"],
    "load": ["input", "platform", "quiet"],
    "save": ["output", "platform"],
    "import": ["change", "message", "platform"],
    "pull": ["all-tags", "disable-content-trust", "platform", "quiet"],
    "push": ["all-tags", "disable-content-trust", "platform", "quiet"],
    "login": ["password", "password-stdin", "username"],
    "history": ["format", "human", "no-trunc", "platform", "quiet"],
    "commit": ["author", "change", "message", "pause"],
    "export": ["output"],
    "start": ["attach", "checkpoint", "checkpoint-dir", "detach-keys", "interactive"],
    "stop": ["signal", "timeout"],
    "restart": ["signal", "timeout"],
    "kill": ["signal"],
    "update": [
        "blkio-weight",
        "cpu-period",
        "cpu-quota",
        "cpu-rt-period",
        "cpu-rt-runtime",
        "cpu-shares",
        "cpus",
        "cpuset-cpus",
        "cpuset-mems",
        "memory",
        "memory-reservation",
        "memory-swap",
        "pids-limit",
        "restart",
    ],
    "logs": ["details", "follow", "since", "tail", "timestamps", "until"],
    "attach": ["detach-keys", "no-stdin", "sig-proxy"],
    "exec": [
        "detach",
        "detach-keys",
        "env",
        "env-file",
        "interactive",
        "privileged",
        "tty",
        "user",
        "workdir",
    ],
    "stats": ["all", "format", "no-stream", "no-trunc"],
    "cp": ["archive", "follow-link", "quiet"],
    "events": ["filter", "format", "since", "until"],
    "inspect": ["format", "size", "type"],
    "info": ["format"],
    "version": ["format"],
}
DOCKER_VOLUME_OPTIONS = {
    "create": [
        "availability",
        "driver",
        "group",
        "label",
        "limit-bytes",
        "opt",
        "required-bytes",
        "scope",
        "secret",
        "sharing",
        "topology-preferred",
        "topology-required",
        "type",
    ],
    "ls": ["cluster", "filter", "format", "quiet"],
    "inspect": ["format"],
    "rm": ["force"],
    "prune": ["all", "filter", "force"],
}


PODMAN = (
    "artifact attach auto-update build commit container cp create diff events exec export farm generate help history "
    "image images import info init inspect kill kube load login logout logs machine manifest mount network pause pod port "
    "ps pull push quadlet rename restart rm rmi run save search secret start stats stop system tag top unmount unpause "
    "unshare untag update version volume wait"
)
"""The commands of podman 5.8."""
PODMAN_OPTIONS = {
    "run": (
        "annotation arch authfile cert-dir cgroup-conf cgroups chrootdirs conmon-pidfile creds decryption-key env-host env-merge "
        "gidmap group-entry hosts-file hostuser http-proxy image-volume init-path no-hostname no-hosts os passwd passwd-entry "
        "personality pidfile pod pod-id-file preserve-fd preserve-fds rdt-class read-only-tmpfs replace requires retry "
        "retry-delay rmi rootfs sdnotify seccomp-policy secret shm-size-systemd subgidname subuidname systemd timeout tls-verify "
        "tz uidmap umask unsetenv unsetenv-all userns variant health-startup-cmd health-log-destination health-max-log-count"
    ),
    "ps": "external noheading ns pod sort sync watch latest",
    "exec": "cidfile latest no-session preserve-fd preserve-fds",
    "images": "history noheading sort",
    "rm": "all cidfile depend filter ignore latest time",
    "start": "all filter latest sig-proxy",
    "stop": "all cidfile filter ignore latest time",
    "restart": "all cidfile filter latest running time",
    "kill": "all cidfile latest",
    "logs": "color latest names",
    "rmi": "all ignore no-prune",
    "pull": "arch os variant authfile cert-dir creds decryption-key retry retry-delay tls-verify policy",
    "commit": "format iidfile include-volumes squash quiet",
    "save": "compress format multi-image-archive uncompressed",
    "stats": "interval no-reset latest",
    "wait": "condition ignore interval latest",
    "import": "arch os variant quiet",
}


def is_there(name):
    return name in COMMANDS or name == "help"


@pytest.mark.parametrize("name", PODMAN.split())
def test_command_of_podman_is_there_or_explained(name):
    assert is_there(name) is not bool(missing_command([name]))


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, each) for name, options in PODMAN_OPTIONS.items() for each in options.split()],
)
def test_option_of_podman_is_there_or_explained(name, option):
    known = {spelling for row in load_command(COMMANDS[name]).options for spelling in row.names}
    assert (option in known) is not bool(missing_option(name, option))


@pytest.mark.parametrize("name", DOCKER)
def test_command_of_docker_is_there_or_explained(name):
    assert (name in COMMANDS) is not bool(missing_command([name]))


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group, names in DOCKER_GROUPS.items() for name in names]
)
def test_command_of_a_group_of_docker_is_there_or_explained(group, name):
    entry = COMMANDS[group]
    assert isinstance(entry, Group)
    assert (name in entry.commands) is not bool(missing_command([group, name]))


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, each) for name, options in DOCKER_OPTIONS.items() for each in options],
)
def test_option_of_docker_is_there_or_explained(name, option):
    command = load_command(COMMANDS[name])
    known = {spelling for row in command.options for spelling in row.names}
    assert (option in known) is not bool(missing_option(name, option))


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, each) for name, options in DOCKER_VOLUME_OPTIONS.items() for each in options],
)
def test_option_of_dockers_volume_commands_is_there_or_explained(name, option):
    group = COMMANDS["volume"]
    assert isinstance(group, Group)
    known = {
        spelling for row in load_command(group.commands[name]).options for spelling in row.names
    }
    assert (option in known) is not bool(missing_option(f"volume {name}", option))


def test_create_has_the_options_of_run_but_those_of_its_streams():
    run, create = (
        {spelling for row in load_command(COMMANDS[name]).options for spelling in row.names}
        for name in ("run", "create")
    )
    missing = {"detach", "d", "detach-keys", "sig-proxy"}
    assert missing <= run - create
    assert not {each for each in DOCKER_OPTIONS["run"] if each in run - create - missing}


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["container", "checkpoint", "c"], 1, "'container checkpoint' is not supported: "),
        (["imagse"], 1, "Did you mean:\n  rootless image"),
        (["image", "lss"], 1, "Did you mean:\n  rootless image ls"),
        (["nonsense"], 1, "rootless: unknown command: rootless nonsense\nSee 'rootless --help'"),
        (
            ["create", "--link", "db", "i"],
            125,
            "--link is not supported: links are a legacy of docker's",
        ),
        (
            ["volume", "create", "--scope", "multi"],
            125,
            "--scope is not supported: there is no cluster",
        ),
        (["rm", "-l", "i"], 125, "--link is not supported: "),
        (["run", "--memroy", "1g", "i"], 125, "unknown flag: --memroy\nDid you mean --memory?"),
        (["-H", "tcp://x", "ps"], 125, "--host is not supported: there is no daemon"),
        (["help", "nonsense"], 1, "rootless: unknown help topic: nonsense"),
        (["helpp"], 1, "Did you mean:\n  rootless help\n"),
        (["hlep"], 1, "Did you mean:\n  rootless help\n"),
    ],
)
def test_message_names_what_is_missing_and_what_to_use(words, status, message, capsys):
    assert main(words) == status
    assert message in capsys.readouterr().err


def test_help_of_a_command_is_that_of_its_option(capsys):
    assert main(["help", "image", "prune"]) == main(["image", "prune", "--help"]) == 0
    first, second = capsys.readouterr().out.split("Usage: ")[1:]
    assert first == second
