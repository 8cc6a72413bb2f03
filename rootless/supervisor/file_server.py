"""The union server: a process that answers the container's file system from outside.

It is forked by the monitor before the container is, so that it imports `unionfs` and opens the
layers while the namespaces are being made. The descriptor of the mount comes over a socket. It has
the caller's real user and namespaces and nothing of the caller's streams. It ends by itself when
the file system is unmounted, which is when the last process of the container's mount namespace has
gone.
"""

from __future__ import annotations

import gc
import os
import select

from rootless.containers.launch_description import Container
from rootless.errors import RootlessError
from rootless.light_stdlib import signal, socket
from rootless.supervisor.messages import close_all_but
from rootless.syscalls import descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from unionfs.copy_up_stats import CopyUpStats

_READY = b"ready"


class UnionServer:
    """The monitor's handle on it. `pidfd` becomes readable when it ends."""

    def __init__(self, pid: int, end: socket.socket) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self._socket = end
        self._ended: os.waitid_result | None = None

    @classmethod
    def fork(cls, container: Container) -> UnionServer:
        """Start the process. The caller must have one thread."""
        ours, theirs = descriptors.pair()
        pid = os.fork()
        if pid == 0:
            _main(container, theirs)
        theirs.close()
        return cls(pid, ours)

    def serve(self, device: int, init: int) -> None:
        """Hand over the descriptor of the mounted file system, which is closed here, and tell the
        container's first process.

        Raises RootlessError if the server cannot open the layers.
        """
        try:
            descriptors.send(self._socket, b"%d" % init, [device])
        except (BrokenPipeError, ConnectionResetError):
            raise RootlessError(self.epitaph()) from None
        finally:
            os.close(device)

    def end(self, grace: float) -> None:
        """Wait for it to end; after `grace` seconds kill it. Without a mount it ends at once."""
        self._socket.close()
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(grace * 1000):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        self._reap()
        os.close(self.pidfd)

    def finished(self) -> bool:
        """Whether it ended, or is about to end, because its work was done."""
        result = self._reap()
        return result.si_code == os.CLD_EXITED and result.si_status == 0

    def epitaph(self) -> str:
        """Why it has ended, in one line."""
        result = self._reap()
        if result.si_code == os.CLD_EXITED:
            said = self._last_words()
            return (
                f"the file server of the container failed: {said or f'status {result.si_status}'}"
            )
        return f"the file server of the container was killed (signal {result.si_status})"

    def _last_words(self) -> str:
        try:
            return self._socket.recv(4096, socket.MSG_DONTWAIT).decode(errors="replace")
        except OSError:
            return ""

    def _reap(self) -> os.waitid_result:
        if self._ended is None:
            self._ended = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        assert self._ended is not None  # without WNOHANG it is never None
        return self._ended


def _main(container: Container, end: socket.socket) -> NoReturn:
    """The whole program of the server: never returns and never raises."""
    status = 1
    try:
        close_all_but((end.fileno(),))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        _serve(container, end)
        status = 0
    except OSError as error:
        _say_why(end, f"{error.strerror}: {os.fsdecode(error.filename or '')}".rstrip(": "))
    except BaseException as error:  # noqa: BLE001 - the last resort of this process
        import traceback

        traceback.print_exception(error)
        _say_why(end, f"{type(error).__name__}: {error}")
    finally:
        os._exit(status)


def _say_why(end: socket.socket, reason: str) -> None:
    try:
        end.send(reason.encode(errors="replace")[:4096], socket.MSG_NOSIGNAL)
    except OSError:
        pass  # the monitor is gone too


def _serve(container: Container, end: socket.socket) -> None:
    from rootless.rootfs.union import open_union
    from rootless.supervisor.process_names import ProcessNames
    from unionfs.model import ROOT_NODE
    from unionfs.session.device import serve

    union = open_union(container)
    tell_costs_on_request(container.directory, union.copy_up_stats)
    # Read the first thing that will be asked for while the namespaces are being made: that opens
    # the index.
    union.getattr(ROOT_NODE)
    init, received = descriptors.receive(end, 16, 1)
    if not received:
        union.destroy()  # the container was never mounted
        return
    union.name_callers(ProcessNames(int(init)))
    # What is there now stays: the collector need not look at it, nor unshare its pages.
    gc.freeze()
    gc.enable()
    os.umask(0)  # modes come from the container, its umask taken off already
    serve(received[0], union)
    if not container.record.auto_remove:
        from rootless.supervisor.copy_up_report import write_ledger

        write_ledger(container.directory, union.copy_up_stats, finished=True)


def tell_costs_on_request(directory: str, ledger: CopyUpStats) -> None:
    """Answer SIGUSR1, `rootless cow`'s question, from now on. The handler runs between two steps of the interpreter, and so
    sees every record whole."""

    def answer(*_: object) -> None:
        from rootless.supervisor.copy_up_report import write_ledger

        try:
            write_ledger(directory, ledger, finished=False)
        except OSError as error:
            # No space, or the directory is gone: whoever asked waits in vain, the file server goes on.
            os.write(2, f"cow.json: {error.strerror}\n".encode())

    signal.signal(signal.SIGUSR1, answer)
