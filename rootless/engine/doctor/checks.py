"""Checks that this machine can run containers: tries each feature that they need, and tells how to enable a missing
one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from rootless.cgroups.delegation import facts
from rootless.engine.doctor.directories import (
    check_processes,
    check_runtime_directory,
    check_store,
    check_uppers,
    probe_directory,
)
from rootless.engine.doctor.findings import Finding, Verdict
from rootless.engine.doctor.probe import probe_in_child
from rootless.errors import RootlessError
from rootless.runtime.account import read_id_maps
from rootless.runtime.idmap import IdMaps, UserNamespaceMode
from rootless.runtime.refused_namespaces import remedy
from rootless.runtime.user_namespace import run_in_user_namespace
from rootless.syscalls import mount_flags, mounts, processes

if TYPE_CHECKING:
    from rootless.containers.storage_paths import StoragePaths


def examine(environ: Mapping[str, str], paths: StoragePaths) -> list[Finding]:
    """Run every check, in the order in which a start needs the features. Takes about 0.1 s."""
    checks: tuple[Callable[[], Finding], ...] = (
        check_processes,
        _user_namespaces,
        _other_namespaces,
        _subordinate_ids,
        _fuse,
        _network_namespaces,
        lambda: _private_networks(environ),
        lambda: _control_groups(environ),
        lambda: _kernel_overlay(paths),
        _image_files,
        lambda: check_store(paths),
        lambda: check_runtime_directory(paths, environ),
    )
    return [*(check() for check in checks), *check_uppers(paths, environ)]


def can_run(findings: list[Finding]) -> bool:
    """Whether a container can run at all."""
    return all(finding.verdict is not Verdict.MISSING for finding in findings)


def _enter(extra: int = 0) -> None:
    """A user and a mount namespace in which the caller is root, as a container with one id has it."""
    uid, gid = os.geteuid(), os.getegid()
    processes.unshare(processes.CLONE_NEWUSER | processes.CLONE_NEWNS | extra)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {uid} 1")
    _write("/proc/self/gid_map", f"0 {gid} 1")
    mounts.mount(None, "/", None, mount_flags.MS_REC | mount_flags.MS_PRIVATE)


def _user_namespaces() -> Finding:
    subject, why = "user namespaces", "every container has a user namespace, in which you are root"
    failure = probe_in_child(_mount_tmpfs)
    if failure is None:
        return Finding(subject, Verdict.OK, "can be made", why)
    return Finding(
        subject, Verdict.MISSING, f"refused: {failure.strerror}", why, user_namespace_remedy()
    )


def _other_namespaces() -> Finding:
    subject, why = "other namespaces", "a container has processes, IPC and a name of its own"
    flags = (
        processes.CLONE_NEWPID
        | processes.CLONE_NEWIPC
        | processes.CLONE_NEWUTS
        | processes.CLONE_NEWCGROUP
    )
    failure = probe_in_child(lambda: _enter(flags))
    if failure is None:
        return Finding(subject, Verdict.OK, "can be made", why)
    unknown = "if this is a container itself, its seccomp profile must allow unshare(2)"
    return Finding(
        subject, Verdict.MISSING, f"refused: {failure.strerror}", why, remedy() or unknown
    )


def _mount_tmpfs() -> None:
    _enter()
    mounts.mount("tmpfs", "/tmp", "tmpfs")


def user_namespace_remedy() -> str:
    """How to allow user namespaces here, by the setting that refuses them."""
    return remedy(("user", "mount")) or (
        "if this is a container itself, its seccomp profile must allow unshare(2) and mount(2); "
        "if SELinux is enforcing, see the audit log"
    )


def _subordinate_ids() -> Finding:
    subject = "subordinate ids"
    why = (
        "without them a container has one user, and owners of files are kept in extended attributes"
    )
    maps = read_id_maps(UserNamespaceMode())
    if not maps.helper:
        return Finding(
            subject,
            Verdict.DEGRADED,
            "this account has none",
            why,
            "as root, usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER",
        )
    count = sum(each.size for each in maps.uids)
    failure = _try_id_maps(maps)
    if failure is None:
        return Finding(subject, Verdict.OK, f"{count} ids", why)
    return Finding(subject, Verdict.MISSING, failure.message, why, failure.hint or "")


def _try_id_maps(maps: IdMaps) -> RootlessError | None:
    """Make a user namespace with the maps that a container would get."""
    try:
        run_in_user_namespace(maps, lambda: None)
    except RootlessError as error:
        return error
    return None


def _control_groups(environ: Mapping[str, str]) -> Finding:
    subject, why = "control groups", "they enforce limits (--memory, --cpus, --pids-limit)"
    known = facts(environ)
    if known.controllers:
        found = f"{known.version}, {known.driver}: {' '.join(known.controllers)}"
        return Finding(subject, Verdict.OK, found, why)
    return Finding(subject, Verdict.DEGRADED, known.reason or "none", why, known.hint or "")


def _fuse() -> Finding:
    subject, why = "FUSE", "the root file system of a container is a FUSE mount"

    def mount_fuse() -> None:
        _enter()
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
        mounts.mount("rootless", "/tmp", "fuse.rootless-unionfs", 0, options)

    failure = probe_in_child(mount_fuse)
    if failure is None:
        return Finding(subject, Verdict.OK, "/dev/fuse can be opened and mounted", why)
    if failure.filename == "/dev/fuse":
        enable = (
            "as root, modprobe fuse"
            if failure.errno in (errno.ENOENT, errno.ENODEV)
            else "as root, chmod 666 /dev/fuse, and a udev rule that keeps it"
        )
        found = f"/dev/fuse cannot be opened: {failure.strerror}"
    else:
        enable = "FUSE mounts in user namespaces need Linux 4.18 or later"
        found = f"it cannot be mounted in a user namespace: {failure.strerror}"
    return Finding(subject, Verdict.MISSING, found, why, enable)


def _network_namespaces() -> Finding:
    subject, why = "network namespaces", "--network none and private networks need them"
    failure = probe_in_child(lambda: _enter(processes.CLONE_NEWNET))
    if failure is None:
        return Finding(subject, Verdict.OK, "can be made", why)
    return Finding(
        subject,
        Verdict.DEGRADED,
        f"refused: {failure.strerror}",
        why,
        f"{remedy(('network',)) or 'as root, raise sysctl user.max_net_namespaces'}; until then use --network host",
    )


def _private_networks(environ: Mapping[str, str]) -> Finding:
    from rootless.network.default import obstacle
    from rootless.network.drivers.choice import available

    subject = "private networks"
    why = "without them a container has the host's network, and no ports are published"
    found = obstacle(environ)
    if not found:
        return Finding(subject, Verdict.OK, f"made by {available(environ)}", why)
    if not available(environ):
        enable = "as root, install the package passt (pasta) or slirp4netns"
    else:
        enable = remedy(("network",)) or "as root, chmod 666 /dev/net/tun"
    return Finding(subject, Verdict.DEGRADED, found, why, enable)


def _kernel_overlay(paths: StoragePaths) -> Finding:
    subject, why = "kernel overlayfs", "--storage-driver overlay needs it"

    def mount_overlay() -> None:
        _enter()
        with probe_directory(Path(paths.store)) as probe:
            os.chdir(probe)
            for name in ("lower", "upper", "work", "merged"):
                os.mkdir(name)
            options = "lowerdir=lower,upperdir=upper,workdir=work,userxattr"
            mounts.mount("overlay", "merged", "overlay", 0, options)
            try:
                os.mkdir("merged/directory")
                os.rmdir("merged/directory")
            finally:
                mounts.umount2("merged", mount_flags.MNT_DETACH)
                os.chdir("/")

    failure = probe_in_child(mount_overlay)
    if failure is None:
        return Finding(subject, Verdict.OK, "can be mounted in a user namespace", why)
    needed = "Linux 5.11 or later" if failure.errno == errno.EPERM else "a store on a local disk"
    return Finding(
        subject,
        Verdict.DEGRADED,
        f"refused: {failure.strerror}",
        why,
        f"use {needed}, or the default storage driver, which does not need it",
    )


def _image_files() -> Finding:
    subject = "image files"
    why = "squashfuse reads squashfs and SIF files, and fuse2fs ext3 images for --overlay"
    programs = (("squashfuse", "squashfuse"), ("fuse2fs", "fuse2fs"), ("fusermount3", "fuse3"))
    lacking = [(program, package) for program, package in programs if which(program) is None]
    if not lacking:
        return Finding(subject, Verdict.OK, "the programs that read them are installed", why)
    return Finding(
        subject,
        Verdict.DEGRADED,
        f"not installed: {', '.join(program for program, _ in lacking)}",
        why,
        f"as root, install {' and '.join(package for _, package in lacking)}",
    )


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
