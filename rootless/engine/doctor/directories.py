"""Checks of `doctor` of the directories that containers would use: each property is tested by using it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rootless.containers.writable_layers.uppers import Uppers
from rootless.durable import acquire_lock, remove_tree
from rootless.engine.doctor.findings import Finding, Verdict, file_system_name, has_attributes
from rootless.errors import HostSupportError, RootlessError
from rootless.machine_locks import is_of_this_machine_only
from rootless.private_directory import make_private_directory
from unionfs.directory.upper import DirectoryUpper
from unionfs.ownership import Ownership

if TYPE_CHECKING:
    from rootless.containers.storage_paths import StoragePaths

_ENTRY = b"probe"
_PROCESSES = 6
"""As many as a start has at one time, beside the container's."""


def check_store(paths: StoragePaths) -> Finding:
    """Images are read in the store; containers are made in it, or beside one that can only be read."""
    subject, why = "store", "it holds images and the changes of containers"
    root = Path(paths.root)
    place = next(each for each in (root, *root.parents) if each.exists())
    what = f"{paths.root} ({file_system_name(place)})"
    if paths.root != paths.store:
        what += f", which can only be read; containers are in {paths.store}"
    try:
        make_private_directory(paths.store, "ROOTLESS_ROOT")
        with probe_directory(Path(paths.store)) as probe:
            limits = [] if paths.uppers[0] else _limits_of_layers(probe)
    except (OSError, RootlessError) as error:
        return Finding(
            subject,
            Verdict.MISSING,
            f"{what} cannot be written: {_reason(error)}",
            why,
            "choose another directory with --root DIR or ROOTLESS_ROOT",
        )
    return Finding(subject, Verdict.OK, "; ".join([what, *limits]), why)


def check_uppers(paths: StoragePaths, environ: Mapping[str, str]) -> list[Finding]:
    """Where the configuration keeps writable layers, if it does."""
    if not paths.uppers[0]:
        return []
    subject, why = "writable layers", "the changes of containers are there"
    try:
        directory = Uppers(*paths.uppers).directory(environ)
        with probe_directory(Path(directory)) as probe:
            limits = _limits_of_layers(probe)
    except HostSupportError as error:
        return [Finding(subject, Verdict.MISSING, error.message, why, error.hint or "")]
    except OSError as error:
        found = f"{paths.uppers[0]} cannot be written: {_reason(error)}"
        return [Finding(subject, Verdict.MISSING, found, why, f"see {paths.uppers[1]}")]
    what = f"{directory} ({file_system_name(Path(directory))})"
    return [Finding(subject, Verdict.OK, "; ".join([what, *limits]), why)]


def check_runtime_directory(paths: StoragePaths, environ: Mapping[str, str]) -> Finding:
    """A socket and a lock are made in it."""
    subject, why = "runtime directory", "it holds sockets and locks until you log out"
    runtime = paths.runtime
    try:
        make_private_directory(runtime, "ROOTLESS_RUNROOT")
        with probe_directory(Path(runtime)) as probe:
            _make_socket(probe)
            lock = acquire_lock(probe / "lock", wait=False)
            if lock is not None:
                lock.release()
    except (OSError, RootlessError) as error:
        return Finding(
            subject,
            Verdict.MISSING,
            f"{runtime} cannot be used: {_reason(error)}",
            why,
            "set XDG_RUNTIME_DIR or ROOTLESS_RUNROOT to a directory that only you can access",
        )
    if not environ.get("XDG_RUNTIME_DIR"):
        return Finding(
            subject,
            Verdict.DEGRADED,
            f"XDG_RUNTIME_DIR is not set; {runtime} is used",
            why,
            "log in through pam_systemd, or set XDG_RUNTIME_DIR to a directory that only you can access",
        )
    return Finding(subject, Verdict.OK, runtime, why)


def check_processes() -> Finding:
    """A start needs a monitor, a file server and the first process of the container."""
    subject, why = "processes", "a container has a monitor and a file server beside its own"

    failure = _failure_of_forks()
    if failure is None:
        return Finding(subject, Verdict.OK, "can be started", why)
    return Finding(
        subject,
        Verdict.MISSING,
        f"too few can be started: {_reason(failure)}",
        why,
        "end processes of this account, or raise its limit (ulimit -u)",
    )


def _failure_of_forks() -> OSError | None:
    """Why fewer processes can exist at one time than a start needs."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    children = []
    try:
        for _ in range(_PROCESSES):
            pid = os.fork()
            if pid == 0:
                os.close(writer)
                os.read(reader, 1)
                os._exit(0)
            children.append(pid)
    except OSError as error:
        return error
    finally:
        os.close(writer)
        os.close(reader)
        for child in children:
            os.waitpid(child, 0)
    return None


@contextmanager
def probe_directory(place: Path) -> Iterator[Path]:
    """A directory in `place` that is removed again. Raises OSError."""
    probe = place / f".doctor-{os.getpid()}"
    probe.mkdir(mode=0o700)
    try:
        yield probe
    finally:
        remove_tree(probe)


def _limits_of_layers(probe: Path) -> list[str]:
    """What the file system lacks for a writable layer, which is made in the directory. Raises OSError."""
    upper = DirectoryUpper(
        os.fsencode(probe / "upper"),
        os.fsencode(probe / "work"),
        ownership=Ownership.DATA,
        base_owner=(0, 0),
    )
    try:
        _, _, fd = upper.create(upper.root().ref, _ENTRY, 0o100644, 1, 1)
        try:
            os.write(fd, bytes(4096))
            os.fsync(fd)  # a quota may be found full as late as here
        finally:
            os.close(fd)
        upper.remove(upper.root().ref, _ENTRY, is_directory=False, whiteout=True)
    finally:
        upper.close()
    found = []
    if not has_attributes(probe):
        found.append("it has no user extended attributes: an index holds owners and modes")
    if not _has_locks(probe):
        found.append("it has no locks: change it from one machine at a time")
    return found


def _has_locks(probe: Path) -> bool:
    """Whether other machines see the locks of this one."""
    lock = acquire_lock(probe / "lock")
    assert lock is not None
    try:
        return not is_of_this_machine_only(lock)
    finally:
        lock.release()


def _make_socket(probe: Path) -> None:
    """By a descriptor, because the path of a socket has 107 bytes at most (unix(7))."""
    directory = os.open(probe, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        end.bind(f"/proc/self/fd/{directory}/socket")
        end.listen(1)
    finally:
        end.close()
        os.close(directory)


def _reason(error: OSError | RootlessError) -> str:
    if isinstance(error, RootlessError):
        return error.message
    where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, str | bytes) else ""
    return f"{error.strerror}{where}"
