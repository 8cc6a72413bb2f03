"""One health check: runs a command in the container in a child of the monitor, so that the monitor does not wait;
gives its output and exit status.
"""

from __future__ import annotations

import os
import select
import time

from rootless.containers.exec_target import join_args
from rootless.containers.health import DOCKERS_LOG, CheckResult, cut
from rootless.containers.timestamps import now
from rootless.durable import write_all
from rootless.errors import RootlessError
from rootless.light_json import dumps, loads
from rootless.light_stdlib import signal
from rootless.runtime.join import exit_status, join
from rootless.spec.exec_options import ExecOptions
from rootless.supervisor.engine_log import log_exception
from rootless.supervisor.messages import close_all_but
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.containers.record import ContainerRecord
    from rootless.spec.health import HealthCheck

_CHUNK = 65536
_FAILED = -1


class CheckTarget(NamedTuple):
    """The container to check, and how to join it."""

    record: ContainerRecord
    directory: str
    seccomp_cache: str
    control_directory: str
    check: HealthCheck


class RunningCheck:
    """A check that has begun; `fileno()` can be read when `result` does not wait. Raises OSError if there can
    be no other process.
    """

    def __init__(self, target: CheckTarget) -> None:
        self.begun = time.monotonic_ns()
        self._start = now()
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            self._pid = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
        if self._pid == 0:
            _report(target, writer)
        os.close(writer)
        self._reader = reader

    def fileno(self) -> int:
        return self._reader

    def result(self) -> CheckResult:
        """How it ended. Called once."""
        with open(self._reader, "rb") as stream:
            report = stream.read()
        os.waitpid(self._pid, 0)
        try:
            exit_code, output = loads(report)
        except ValueError:  # the child was killed
            return CheckResult(self._start, now(), _FAILED, "the health check was killed")
        return CheckResult(self._start, now(), exit_code, output)

    def abandon(self) -> CheckResult:
        """End it, in place of `result`."""
        os.close(self._reader)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        return CheckResult(self._start, now(), _FAILED, "the health check was killed")


def _report(target: CheckTarget, writer: int) -> NoReturn:
    """The whole program of the child: never returns and never raises."""
    try:
        # A client whose connection the monitor closes must not wait for this process.
        close_all_but((writer,))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            exit_code, output = _carry_out(target)
        except RootlessError as error:
            exit_code, output = _FAILED, error.message
        except OSError as error:
            exit_code, output = _FAILED, (error.strerror or "").lower()
        write_all(writer, dumps([exit_code, output]))
    except BaseException as error:  # noqa: BLE001 - nothing may escape into the monitor's program
        log_exception(error)
    finally:
        os._exit(0)


def _carry_out(target: CheckTarget) -> tuple[int, str]:
    """The exit code and the output of the command. Raises RootlessError if it cannot be executed."""
    check = target.check
    args = join_args(
        target.record,
        target.directory,
        ExecOptions(command=check.test),
        seccomp_cache=target.seccomp_cache,
        hand_over=lambda listener: _hand_over(target, listener),
    )
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    process = join(args._replace(stdio=(null, writer, writer)))
    os.close(writer)
    os.set_blocking(reader, False)
    output = _Output(reader, (check.log or DOCKERS_LOG).size)
    if output.collect(process.pidfd, time.monotonic() + check.timeout / 1e9):
        return exit_status(process.pidfd), cut(output.data, check.log)
    signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
    exit_status(process.pidfd)
    from rootless.durations import format_duration

    late = f"Health check exceeded timeout ({format_duration(check.timeout)})"
    return _FAILED, f"{late}: {cut(output.data, check.log)}" if output.data else late


def _hand_over(target: CheckTarget, listener: int) -> None:
    from rootless.supervisor.owners.hand_over import hand_over

    hand_over(target.control_directory, listener)


class _Output:
    """What a process writes to a pipe: `limit` bytes of the beginning, and one more, are kept, 0 for all; the rest is
    read and discarded.
    """

    def __init__(self, reader: int, limit: int) -> None:
        self.data = b""
        self._limit = limit
        self._reader = reader

    def collect(self, pidfd: int, deadline: float) -> bool:
        """Read until the process has ended, True, or the deadline has come, False. Its children may go on
        and keep the pipe open.
        """
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(self._reader, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = {descriptor for descriptor, _ in poll.poll(left * 1000)}
            if self._reader in ready and not self._read():
                poll.unregister(self._reader)
            if pidfd in ready:
                return True
        return False

    def _read(self) -> bool:
        """All that is there. False at the end of the stream."""
        try:
            while data := os.read(self._reader, _CHUNK):
                self.data = (self.data + data)[: self._limit + 1 if self._limit else None]
        except BlockingIOError:
            return True
        return False
