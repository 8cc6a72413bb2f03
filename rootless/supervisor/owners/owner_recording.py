"""The monitor's side of recording owners: it holds the listeners of the container's seccomp filters, and starts the
recorder at the first notification. A container that never calls chown(2) has no recorder.

A recorder that is killed is replaced at the next notification. The one that it was answering is in a page that the
recorders share, and is answered by the next. One that several recorders have ended with fails with EIO.
"""

from __future__ import annotations

import errno
import mmap
import os
import select

from rootless.light_stdlib import signal, socket
from rootless.supervisor.engine_log import log
from rootless.supervisor.owners.calls import LISTENER_NUMBER, identity_of
from rootless.syscalls import descriptors
from rootless.syscalls.seccomp import NOTIFICATION_SIZE, answer_notification

_ATTEMPTS = 5


class OwnerRecording:
    """Of one run of a container. `user_namespace` is a descriptor of the container's, which stays the caller's."""

    def __init__(self, user_namespace: int) -> None:
        self._user_namespace = user_namespace
        self._listeners: dict[int, int] = {}
        """Descriptors by number."""
        self._numbers = 0
        self._page: mmap.mmap | None = None
        self._recorder: _RecorderProcess | None = None
        self._failed = (0, 0)
        """The notification that a recorder ended with last, and how many did."""

    def add(self, listener: int) -> None:
        """Take a listener, which is closed here."""
        self._numbers += 1
        self._listeners[self._numbers] = listener
        if self._recorder is not None:
            self._recorder.send(self._numbers, listener)

    def interest(self) -> dict[int, int]:
        """Descriptors, and the events that `advance` waits for (poll(2))."""
        if self._recorder is not None:
            # POLLHUP and POLLERR are reported whatever is asked for.
            waited = dict.fromkeys(self._listeners.values(), 0)
            return {**waited, self._recorder.pidfd: select.POLLIN}
        return dict.fromkeys(self._listeners.values(), select.POLLIN)

    def advance(self, ready: set[int]) -> None:
        """Some of the descriptors are ready."""
        if self._recorder is not None and self._recorder.pidfd in ready:
            ended_itself = self._recorder.collect()
            self._recorder = None
            if ended_itself:
                # Each other one would end in the same way.
                log("the recorder of owners has failed: chown fails in this container from here on")
                self.close()
                return
            self._resume()
        is_asked = False
        for number, listener in [*self._listeners.items()]:
            if listener in ready:
                poll = select.poll()
                poll.register(listener, select.POLLIN)
                events = sum(event for _, event in poll.poll(0))
                is_asked |= bool(events & select.POLLIN)
                if events & ~select.POLLIN:
                    # No process has the filter any more.
                    del self._listeners[number]
                    os.close(listener)
        if is_asked and self._recorder is None:
            self._start()

    def close(self) -> None:
        """End the recorder. A call that waits fails with ENOSYS. Idempotent."""
        if self._recorder is not None:
            self._recorder.kill()
            self._recorder = None
        for listener in self._listeners.values():
            os.close(listener)
        self._listeners.clear()
        if self._page is not None:
            self._page.close()
            self._page = None

    def _start(self) -> None:
        if self._page is None:
            self._page = mmap.mmap(-1, mmap.PAGESIZE)
        try:
            self._recorder = _RecorderProcess(self._page, self._user_namespace)
        except OSError as error:
            log(f"the recorder of owners cannot be started: {error.strerror}")
            self.close()
            return
        for number, listener in self._listeners.items():
            self._recorder.send(number, listener)

    def _resume(self) -> None:
        """After the end of a recorder: have the notification that it was answering answered."""
        page = self._page
        assert page is not None
        identity = identity_of(page[:NOTIFICATION_SIZE])
        if not identity:
            return
        last, count = self._failed
        self._failed = identity, count + 1 if identity == last else 1
        if self._failed[1] < _ATTEMPTS:
            self._start()
            return
        listener = self._listeners.get(int.from_bytes(page[LISTENER_NUMBER], "little"))
        page[:8] = bytes(8)
        try:
            if listener is not None:
                answer_notification(listener, identity, errno.EIO)
        except OSError:
            pass  # the caller has been killed


class _RecorderProcess:
    """Raises OSError if there can be no other process."""

    def __init__(self, page: mmap.mmap, user_namespace: int) -> None:
        # Before fork: a copy in memory of what each recorder imports.
        from rootless.supervisor.owners import recorder

        own_end, its_end = descriptors.pair()
        try:
            pid = os.fork()
        except OSError:
            own_end.close()
            its_end.close()
            raise
        if pid == 0:
            recorder.main(its_end, memoryview(page), user_namespace)
        its_end.close()
        self._end: socket.socket = own_end
        self.pidfd = os.pidfd_open(pid)

    def send(self, number: int, listener: int) -> None:
        """Give it a listener. One that has ended is noticed by its pidfd."""
        try:
            descriptors.send(self._end, number.to_bytes(8, "little"), (listener,))
        except OSError:
            pass

    def collect(self) -> bool:
        """After its end: whether it has ended by itself, and was not killed."""
        result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        os.close(self.pidfd)
        self._end.close()
        return result is not None and result.si_code == os.CLD_EXITED

    def kill(self) -> None:
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.collect()
