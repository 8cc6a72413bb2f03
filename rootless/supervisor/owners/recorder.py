"""The recorder: a process that answers the calls of chown(2) and mknod(2) of one container, one after the other.

It is in the container's user namespace, for only there FUSE lets it in, and otherwise on the host. It opens the file
once, as the caller would, and acts on that descriptor; the kernel's own chown is never carried out. So the caller
gains nothing by changing the path meanwhile: what is recorded is the owner of a file that it could have named.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys

from rootless.light_stdlib import signal, socket
from rootless.rootfs.recorded_device import has_device
from rootless.supervisor.engine_log import log
from rootless.supervisor.messages import close_all_but
from rootless.supervisor.owners.caller import Caller, CallerGoneError
from rootless.supervisor.owners.calls import (
    LISTENER_NUMBER,
    NAME_IS_FREE,
    ChownCall,
    MknodCall,
    decode,
    identity_of,
)
from rootless.supervisor.owners.recording_mounts import RecordingMounts
from rootless.syscalls import capabilities, descriptors, processes
from rootless.syscalls.seccomp import (
    NOTIFICATION_SIZE,
    answer_notification,
    is_waiting,
    receive_notification,
    wake_in_place,
)
from unionfs.model import without_set_id
from unionfs.syscalls.files import TMPFS_MAGIC, file_system_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_CAP_CHOWN = 1 << capabilities.NAMES.index("CHOWN")
_CAP_MKNOD = 1 << capabilities.NAMES.index("MKNOD")


def main(channel: socket.socket, page: memoryview, user_namespace: int) -> NoReturn:
    """The whole program of the process: never returns and never raises.

    Args:
        channel: Where the monitor sends listeners, each with its number; its end is the end of this process.
        page: Shared with the monitor: the notification that is being answered, for the next recorder if this one is
        killed.
        user_namespace: A descriptor of the container's.
    """
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # not the monitor's handler
        processes.prctl(processes.PR_SET_DUMPABLE, 0)
        close_all_but((channel.fileno(), user_namespace))
        recorder = _Recorder(channel, page, user_namespace)
        os.close(user_namespace)
        # No file may be imported from here on: the root is the container's.
        sys.meta_path.clear()
        sys.path.clear()
        recorder.run()
        status = 0
    except BaseException as error:  # noqa: BLE001 - nothing may escape into the monitor's program
        log(f"the recorder of owners: {type(error).__name__}: {error}")
    finally:
        os._exit(status)


class _Recorder:
    def __init__(self, channel: socket.socket, page: memoryview, user_namespace: int) -> None:
        self._channel = channel
        self._page = page
        self._listeners: dict[int, int] = {}
        """Descriptors by number."""
        os.chdir("/")
        self._proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        processes.setns(user_namespace, processes.CLONE_NEWUSER)
        # The change of capabilities has cleared it.
        processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL)
        self._own_files = os.open(
            f"{os.getpid()}/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._proc
        )
        self._uid = os.geteuid()
        self._mounts = RecordingMounts(self._own_files)
        self._user_namespace = os.stat("self/ns/user", dir_fd=self._proc).st_ino

    def run(self) -> None:
        """Until the monitor ends."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        keys: dict[int, int] = {}
        while True:
            for ready, event in poll.poll():
                if ready == self._channel.fileno():
                    key, listener = self._take_listener()
                    if not key:
                        return
                    self._listeners[key] = listener
                    keys[listener] = key
                    wake_in_place(listener)
                    poll.register(listener, select.POLLIN)
                    if int.from_bytes(self._page[LISTENER_NUMBER], "little") == key:
                        # What a recorder that was killed has left.
                        self._answer(listener, is_repeated=True)
                elif event & select.POLLIN:
                    self._receive(ready, keys[ready])
                else:
                    # No process has the filter any more.
                    poll.unregister(ready)
                    del self._listeners[keys.pop(ready)]
                    os.close(ready)

    def _take_listener(self) -> tuple[int, int]:
        """Its number and descriptor; zeros when the monitor is gone."""
        data, received = descriptors.receive(self._channel, 8, 1)
        return (int.from_bytes(data, "little"), received[0]) if received else (0, 0)

    def _receive(self, listener: int, key: int) -> None:
        page = self._page
        page[LISTENER_NUMBER] = key.to_bytes(8, "little")
        page[NAME_IS_FREE] = 0
        try:
            receive_notification(listener, page)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.EINTR}:
                raise
            return  # the caller was killed before
        self._answer(listener)

    def _answer(self, listener: int, *, is_repeated: bool = False) -> None:
        """Carry out the call in the page, and answer it."""
        data = bytes(self._page[:NOTIFICATION_SIZE])
        identity = identity_of(data)
        if not identity:
            return
        number = errno.EIO
        try:
            may_be_made = is_repeated and bool(self._page[NAME_IS_FREE])
            number = self._carry_out(decode(data), listener, may_be_made=may_be_made)
        except OSError as error:
            number = error.errno or errno.EIO
        except CallerGoneError:
            number = errno.EINTR
        except Exception as error:  # noqa: BLE001 - a call must not end the process
            log(f"the recorder of owners: {type(error).__name__}: {error}")
        try:
            answer_notification(listener, identity, number)
        except OSError:
            pass  # ENOENT: the caller was killed
        self._page[:8] = bytes(8)

    def _carry_out(self, call: ChownCall | MknodCall, listener: int, *, may_be_made: bool) -> int:
        """The errno of the call, 0 for success. `may_be_made`: a recorder that was killed may have carried it out. Raises
        OSError, CallerGoneError.
        """
        caller = Caller(call.thread, self._proc, lambda: is_waiting(listener, call.identity))
        needed = _CAP_CHOWN if isinstance(call, ChownCall) else _CAP_MKNOD
        if caller.user_namespace() != self._user_namespace:
            # Of a namespace below, whose ids are others.
            return 0 if caller.capabilities & needed else errno.EPERM
        if isinstance(call, MknodCall):
            return self._make_device(call, caller, may_be_made=may_be_made)
        target = caller.open_target(call)
        try:
            return self._change(target, call, caller.capabilities)
        finally:
            os.close(target)

    def _make_device(self, call: MknodCall, caller: Caller, *, may_be_made: bool) -> int:
        umask = caller.umask()
        parent, name = caller.open_parent(call)
        try:
            try:
                caller.require_creatable(parent, name)
            except FileExistsError:
                if may_be_made and self._is_made(call, parent, name):
                    return 0
                raise
            if not caller.capabilities & _CAP_MKNOD:
                return errno.EPERM
            self._page[NAME_IS_FREE] = 1
            device = os.fstat(parent).st_dev
            if self._mounts.include(parent, device):
                node = call.mode, call.device, umask
                self._mounts.make_device(parent, device, name, node, call.identity)
            elif self._has_placeholders(parent):
                _make_placeholder(parent, name, stat.S_IMODE(call.mode) & ~umask)
            return 0
        finally:
            os.close(parent)

    def _is_made(self, call: MknodCall, parent: int, name: bytes) -> bool:
        """Whether what the call asks for is there."""
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISSOCK(found.st_mode):
            return self._has_placeholders(parent)
        return has_device(parent, name, call.mode, call.device)

    def _has_placeholders(self, directory: int) -> bool:
        """Whether a directory is on a tmpfs of the container's."""
        return file_system_type(directory) == TMPFS_MAGIC and self._mounts.is_own(directory)

    def _change(self, target: int, call: ChownCall, held: int) -> int:
        status = os.fstat(target)
        if not self._may_change(call, status, held):
            return errno.EPERM
        if not self._mounts.include(target, status.st_dev):
            return errno.EROFS if os.fstatvfs(target).f_flag & os.ST_RDONLY else 0
        if without_set_id(status.st_mode) != status.st_mode:
            # Beside the server, the kernel has to learn that they are gone (chown_common, fs/open.c).
            os.fchdir(self._own_files)
            os.chmod(b"%d" % target, stat.S_IMODE(without_set_id(status.st_mode)))
        if call.uid is not None or call.gid is not None:
            self._mounts.set_owner(target, status.st_dev, call.uid, call.gid)
        return 0

    def _may_change(self, call: ChownCall, status: os.stat_result, held: int) -> bool:
        """As chown_ok and chgrp_ok (fs/attr.c): with CAP_CHOWN over a file whose owner the namespace maps, or its
        owner, who changes nothing. With one id no other group is the caller's."""
        if call.uid is None and call.gid is None:
            return True
        if status.st_uid != self._uid:
            return False
        if held & _CAP_CHOWN:
            return True
        return call.uid in {None, status.st_uid} and call.gid in {None, status.st_gid}


def _make_placeholder(parent: int, name: bytes, mode: int) -> None:
    """A socket, which can be renamed, be changed and be removed as a device can. open(2) of it is ENXIO, as of a device
    without a driver; of a file it would succeed. Raises OSError."""
    former = os.umask(0)
    try:
        os.mknod(name, stat.S_IFSOCK | mode, dir_fd=parent)
    finally:
        os.umask(former)
