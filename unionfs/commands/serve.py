"""Mounting a union and serving it, in the foreground or in a process of its own."""

from __future__ import annotations

import os
import sys

from unionfs.commands.arguments import PROGRAM, Invocation
from unionfs.commands.mount import mount, of_options, unmount, wait_until_answering
from unionfs.options import OptionError, Options
from unionfs.session.options import ServeOptions
from unionfs.session.workers import SWITCH_INTERVAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from signal import SIGHUP, SIGINT, SIGTERM, signal
    from types import FrameType
    from typing import NoReturn

    from unionfs.filesystem import FileSystem
else:
    # The library's module makes enumerations of the numbers, and imports `enum` for it.
    from _signal import SIGHUP, SIGINT, SIGTERM, signal

_DESCRIPTORS = 4096


def mount_and_serve(asked: Invocation) -> None:
    """Mount, and serve until the mount ends; without `foreground`, return as soon as the mount
    answers, with the server in a child process.

    Raises OptionError, OSError.
    """
    import resource

    from unionfs.commands.stack import open_union

    for option in asked.options.unknown:
        print(f"{PROGRAM}: unknown option ignored: {option}", file=sys.stderr)
    require_session(asked.options)
    # Every layer has a descriptor that stays open.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_DESCRIPTORS, hard), hard))
    # The server leaves this directory, and unmounts when a signal ends it.
    mountpoint = os.path.realpath(asked.mountpoint, strict=True)
    filesystem = open_union(asked.options)
    try:
        device = mount(mountpoint, of_options(asked.options, as_root=os.geteuid() == 0))
    except BaseException:
        filesystem.destroy()
        raise
    if asked.foreground:
        _serve(device, filesystem, asked.options, mountpoint)
        return
    server = os.fork()
    if server == 0:
        _serve_in_background(device, filesystem, asked.options, mountpoint)
    os.close(device)
    wait_until_answering(mountpoint)


def require_session(options: Options) -> None:
    """Raises OptionError if the FUSE implementation asked for is not installed, or cannot do what is
    asked for: before anything is mounted."""
    if options.session != "pyfuse3":
        return
    if options.bps or options.iops:
        raise OptionError(
            "session pyfuse3 has no limits of speed (bps, iops); use --session device"
        )
    from importlib.util import find_spec

    missing = [module for module in ("pyfuse3", "trio") if find_spec(module) is None]
    if missing:
        raise OptionError(
            f"session pyfuse3: the Python module {missing[0]} is not installed "
            "(pip install 'rootless[pyfuse3]'); use --session device"
        )


def serve_options(options: Options) -> ServeOptions:
    """The session's part of the options."""
    defaults = ServeOptions()
    writeback = defaults.writeback and options.size is None
    return ServeOptions(
        writeback=writeback if options.writeback is None else options.writeback,
        allow_idmap=True,
        posix_acl=options.acl,
        fsync=options.fsync and not options.volatile,
        xattrs=options.xattrs,
        timeout=defaults.timeout if options.timeout is None else options.timeout,
        spin=options.spin,
        bps=options.bps,
        iops=options.iops,
        debug=options.debug,
    )


def _serve_in_background(
    device: int, filesystem: FileSystem, options: Options, mountpoint: str
) -> NoReturn:
    status = 1
    try:
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.close(null)
        _serve(device, filesystem, options, mountpoint)
        status = 0
    finally:
        os._exit(status)


def _serve(device: int, filesystem: FileSystem, options: Options, mountpoint: str) -> None:
    import gc

    def end(_signal: int, _frame: FrameType | None) -> None:
        """Detach the mount, and go on serving the processes that still use it. From a thread:
        umount2(2) writes dirty pages back, and the server must answer those writes. A second
        signal ends the server at once."""
        from threading import Thread

        for number in (SIGTERM, SIGINT, SIGHUP):
            signal(number, _exit)
        Thread(target=_detach, args=(mountpoint,), daemon=True).start()

    for number in (SIGTERM, SIGINT, SIGHUP):
        signal(number, end)
    # The kernel has applied the caller's umask; the server's would cost a second call for each
    # object made.
    os.umask(0)
    # There are many nodes and few cycles among them; a full collection would delay every request.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    sys.setswitchinterval(SWITCH_INTERVAL)
    _session(options.session)(device, filesystem, serve_options(options))


def _session(name: str) -> Callable[[int, FileSystem, ServeOptions], object]:
    if name == "pyfuse3":
        from unionfs.session import pyfuse3_session

        return pyfuse3_session.serve
    from unionfs.session import device

    return device.serve


def _detach(mountpoint: str) -> None:
    try:
        unmount(mountpoint, lazy=True)
    except OSError as error:
        print(f"{PROGRAM}: {mountpoint}: cannot unmount: {error.strerror}", file=sys.stderr)


def _exit(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(1)
