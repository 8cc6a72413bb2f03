"""In the guest, as an ordinary user: a setting of the host that refuses namespaces is named, with the line for root."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from harness import check, main, wait_until

SETTINGS = "/run/vm-settings"
"""A pipe: root writes each line that comes to sysctl(8)."""
RUN = ("run", "--rm", "--rootfs", "/")


def engine(*arguments):
    command = [sys.executable, "-m", "rootless", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def path_of(setting):
    return Path("/proc/sys") / setting.replace(".", "/")


def change(setting, value):
    with open(SETTINGS, "w") as pipe:
        pipe.write(f"{setting}={value}\n")
    wait_until(lambda: path_of(setting).read_text().strip() == value)


@contextlib.contextmanager
def setting_of_host(setting, value):
    before = path_of(setting).read_text().strip()
    change(setting, value)
    try:
        yield
    finally:
        change(setting, before)


def refuses_every_container(setting, value, remedy):
    """`doctor` and `run` fail, and tell which setting does it."""
    with setting_of_host(setting, value):
        doctor = engine("doctor")
        assert doctor.returncode == 1, doctor
        assert remedy in doctor.stdout, doctor
        run = engine(*RUN, "true")
        assert run.returncode == 125, run
        lines = run.stderr.splitlines()
        assert len(lines) == 2, run
        assert remedy in lines[1], run
    return " | ".join(lines)


@check
def host_that_refuses_nothing_runs_containers():
    doctor = engine("doctor")
    assert doctor.returncode == 0, doctor
    assert engine(*RUN, "echo", "here").stdout == "here\n"


@check
def user_namespaces_switched_off():
    return refuses_every_container(
        "user.max_user_namespaces", "0", "as root, sysctl -w user.max_user_namespaces=15000"
    )


@check
def user_namespaces_switched_off_for_users():
    setting = "kernel.unprivileged_userns_clone"
    if not path_of(setting).exists():
        return "this kernel has no such setting"
    return refuses_every_container(setting, "0", f"as root, sysctl -w {setting}=1")


@check
def user_namespaces_restricted_by_apparmor():
    setting = "kernel.apparmor_restrict_unprivileged_userns"
    if not path_of(setting).exists():
        return "this kernel has no such setting"
    return refuses_every_container(setting, "1", f"as root, sysctl -w {setting}=0")


@check
def mount_namespaces_switched_off():
    return refuses_every_container(
        "user.max_mnt_namespaces", "0", "as root, sysctl -w user.max_mnt_namespaces=15000"
    )


@check
def pid_namespaces_switched_off():
    return refuses_every_container(
        "user.max_pid_namespaces", "0", "as root, sysctl -w user.max_pid_namespaces=15000"
    )


@check
def containers_have_the_hosts_network_without_network_namespaces():
    with setting_of_host("user.max_net_namespaces", "0"):
        remedy = "as root, sysctl -w user.max_net_namespaces=15000"
        doctor = engine("doctor")
        assert doctor.returncode == 0, doctor
        assert remedy in doctor.stdout, doctor
        inside = engine(*RUN, "readlink", "/proc/self/ns/net")
        assert inside.stdout.strip() == os.readlink("/proc/self/ns/net"), inside
        run = engine(*RUN[:2], "--network", "none", *RUN[2:], "true")
        assert run.returncode == 125, run
        error, hint = run.stderr.splitlines()
        assert remedy in hint, run
    return f"{error} | {hint}"


main()
