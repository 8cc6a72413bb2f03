"""The standard streams of each process of the program, and its report of a failure."""

from __future__ import annotations

import errno
import io
import os
import sys

from rootless.cli.context import PROGRAM
from rootless.errors import RootlessError, failure_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


class _Output(io.TextIOWrapper):
    """Standard output or error. What cannot be written is lost, as docker's is, and the command goes on; only standard output
    without a reader raises (BrokenPipeError)."""

    failure: OSError | None = None
    """The first."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.lose(error)
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.lose(error)

    def lose(self, error: OSError) -> None:
        """Go on without what could not be written. Raises BrokenPipeError of standard output."""
        descriptor = self.fileno()
        if isinstance(error, BrokenPipeError) and descriptor == 1:
            raise error
        self.failure = self.failure or error
        import fcntl

        # What is in the buffer would be tried again, and what comes later may be written again: a pipe was full for a moment.
        kept = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.dup2(null, descriptor)
            super().flush()
        finally:
            os.dup2(kept, descriptor)
            os.close(null)
            os.close(kept)


def write_bytes(data: bytes) -> None:
    """Write to standard output what need not be text, as `print` writes text."""
    try:
        sys.stdout.buffer.write(data)
    except OSError as error:
        if not isinstance(sys.stdout, _Output):
            raise
        sys.stdout.lose(error)


def take_standard_streams() -> None:
    """Let no descriptor of this program take the place of a standard stream that the caller closed, and have none that cannot
    be written end the command. Idempotent.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    if sys.stdout is sys.__stdout__:
        sys.stdout = _output(sys.stdout, 1)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _output(sys.stderr, 2)


def _output(stream: io.TextIOWrapper | None, descriptor: int) -> _Output:
    """`stream` is None if the caller had closed it."""
    if stream is None:
        return _Output(open(descriptor, "wb", closefd=False), errors="backslashreplace")
    return _Output(
        stream.buffer,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
    )


_HINTS = {
    errno.EAGAIN: "the account has as many processes as it may have: end some, or raise ulimit -u",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOMEM: "raise the limit of memory (ulimit -v)",
}
"""For system calls that concern no file."""
_HINTS_OF_FILES = {
    errno.ESTALE: "the server of this network file system does not have the file any more: unmount it and mount it again",
}


def as_expected(error: OSError) -> RootlessError:
    """The failure of a system call as an error that names the file."""
    named = isinstance(error.filename, str | bytes)  # not of a descriptor
    hint = (_HINTS_OF_FILES if named else _HINTS).get(error.errno or 0)
    return RootlessError(failure_of(error), hint=hint)


def of_system_call(error: RuntimeError) -> OSError:
    """The failure behind what Python raises where there can be no further thread. Raises any other error again."""
    if error.args != ("can't start new thread",):
        raise error
    return OSError(errno.EAGAIN, os.strerror(errno.EAGAIN).lower())


def exit_status_of(action: Callable[[], int], *, debug: bool) -> int:
    """The status that `action` returns, or that of its error, which is printed."""
    try:
        return action()
    except RootlessError as error:
        return print_error(error, debug)
    except BrokenPipeError:
        # The reader of the output has gone; the interpreter must not try to write at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        return print_error(as_expected(error), debug)
    except KeyboardInterrupt:
        return 130


def exit_after(action: Callable[[], int], *, debug: bool) -> NoReturn:
    """End a process that has stood by, as one that has not: with the status that `action` returns, or that of its error."""
    take_standard_streams()
    exit_with(exit_status_of(action, debug=debug))


def exit_with(status: int) -> NoReturn:
    """Write what is buffered, and end the process."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        status = status or 1
    if isinstance(sys.stdout, _Output) and sys.stdout.failure is not None:
        _report_unwritten(failure_of(sys.stdout.failure))
        status = status or 1
    # Taking a hundred modules apart takes as long as importing many of them, and the kernel does
    # it at once.
    os._exit(status)


def _report_unwritten(reason: str) -> None:
    try:
        os.write(2, f"{PROGRAM}: cannot write the output: {reason}\n".encode())
    except OSError:
        pass  # it is standard error that cannot be written


def print_error(error: RootlessError, debug: bool) -> int:
    """Print an error; returns the status to exit with."""
    from rootless.cli.escape import escaped

    if debug:
        import traceback

        traceback.print_exception(error)
    print(f"{PROGRAM}: {escaped(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"hint: {escaped(error.hint)}", file=sys.stderr)
    return error.exit_status
