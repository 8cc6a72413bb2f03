"""Apptainer's options and commands: each is known to `hpc`, or refused with what to use."""

import pytest

from rootless.cli.hpc.options import ALL
from rootless.cli.index import COMMANDS
from rootless.cli.not_supported.lookup import missing_command, missing_option

# Of `apptainer exec --help`, version 1.3.
OPTIONS = [
    "add-caps",
    "allow-setuid",
    "app",
    "apply-cgroups",
    "bind",
    "blkio-weight",
    "blkio-weight-device",
    "cdi-dirs",
    "cleanenv",
    "compat",
    "contain",
    "containall",
    "cpu-shares",
    "cpus",
    "cpuset-cpus",
    "cpuset-mems",
    "cwd",
    "device",
    "disable-cache",
    "dns",
    "docker-login",
    "drop-caps",
    "env",
    "env-file",
    "fakeroot",
    "fusemount",
    "home",
    "hostname",
    "ipc",
    "keep-privs",
    "memory",
    "memory-reservation",
    "memory-swap",
    "mount",
    "net",
    "netns-path",
    "network",
    "network-args",
    "no-eval",
    "no-home",
    "no-https",
    "no-init",
    "no-mount",
    "no-pid",
    "no-privs",
    "no-umask",
    "nv",
    "nvccli",
    "oom-kill-disable",
    "overlay",
    "passphrase",
    "pem-path",
    "pid",
    "pid-file",
    "pids-limit",
    "pwd",
    "rocm",
    "scratch",
    "security",
    "sharens",
    "underlay",
    "unsquash",
    "userns",
    "uts",
    "vm",
    "workdir",
    "writable",
    "writable-tmpfs",
]
WORDS = [
    "build",
    "cache",
    "capability",
    "checkpoint",
    "config",
    "exec",
    "inspect",
    "instance",
    "key",
    "keyserver",
    "oci",
    "overlay",
    "plugin",
    "pull",
    "push",
    "registry",
    "remote",
    "run",
    "run-help",
    "search",
    "shell",
    "sif",
    "sign",
    "test",
    "verify",
    "version",
]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_known_or_refused_with_a_reason(name):
    is_known = any(name in option.names for option in ALL)
    reason = missing_option("hpc exec", name)
    assert is_known or (reason is not None and reason.startswith(f"--{name} is not supported: "))


@pytest.mark.parametrize("word", WORDS)
def test_every_command_is_known_or_refused_with_a_reason(word):
    is_known = word in COMMANDS["hpc"].commands
    assert is_known or "is not supported: " in (missing_command(["hpc", word]) or "")


def test_an_option_that_nobody_has_stays_unknown():
    assert missing_option("hpc exec", "frobnicate") is None
    assert missing_command(["hpc", "frobnicate"]) is None
