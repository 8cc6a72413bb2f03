"""Calls a function in a child process, and returns its result or raises its error in the parent.

For work that must not touch the calling process: it enters namespaces, starts threads, or imports
what the caller is to stay free of. The caller must have one thread (fork(2)).
"""

from __future__ import annotations

import marshal  # pickle would import functools
import os
import sys

from rootless import errors
from rootless.durable import write_all
from rootless.errors import RootlessError
from rootless.light_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    T = TypeVar("T")


def error_fields(error: BaseException) -> dict[str, Any]:
    """An error as plain values, for another process of this program; `error_from` is the inverse.

    RootlessError keeps its class, message, hint and details; OSError its number and file name. Any
    other exception is a defect, and becomes a RootlessError that names it.
    """
    if isinstance(error, RootlessError):
        return {
            "error": type(error).__name__,
            "message": error.message,
            "hint": error.hint,
            "details": dict(error.details),
        }
    if isinstance(error, OSError) and error.errno is not None:
        path = None if error.filename is None else os.fsdecode(error.filename)
        return {"error": "OSError", "errno": error.errno, "path": path}
    return {"error": "RootlessError", "message": f"{type(error).__name__}: {error}"}


def error_from(fields: Mapping[str, Any]) -> RootlessError | OSError:
    """The error that `error_fields` described."""
    if fields["error"] == "OSError":
        return OSError(fields["errno"], os.strerror(fields["errno"]), fields["path"])
    kind = getattr(errors, fields["error"], RootlessError)
    error: RootlessError = kind(
        fields["message"], hint=fields.get("hint"), details=fields.get("details")
    )
    return error


def run_in_child(function: Callable[[], T]) -> T:
    """Return what `function` returns in a child process: text, bytes, numbers, None, or containers of these (what
    `marshal` takes).

    Raises:
        RootlessError, OSError: the function raised it, or the child was killed.
        KeyboardInterrupt: the child was interrupted.
    """
    result: T = ChildCall(function).result()
    return result


class ChildCall:
    """A call of `function` in a child process, from the start of that process to `result`.

    `fork` makes the process, as os.fork does. One of `result` and `kill` has to be called, once.
    """

    def __init__(self, function: Callable[[], object], fork: Callable[[], int] = os.fork) -> None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            self.pid = fork()
        except BaseException:
            os.close(reader)
            os.close(writer)
            raise
        if self.pid == 0:
            status = 1
            try:
                os.close(reader)
                status = _report(function, writer)
            finally:
                os._exit(status)
        os.close(writer)
        self._reader = reader

    def result(self) -> Any:  # noqa: ANN401 - the value of the call
        """Wait for the child, and return or raise as `run_in_child`. An exception in the parent
        meanwhile, as a signal handler raises it, ends the child."""
        try:
            with open(self._reader, "rb", closefd=False) as stream:
                report = stream.read()
        except BaseException:
            self.kill()
            raise
        os.close(self._reader)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if code == -signal.SIGINT:
            raise KeyboardInterrupt
        if code != 0:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
            raise RootlessError(f"a child process {how} before it gave its result")
        succeeded, value = marshal.loads(report)
        if succeeded:
            return value
        raise error_from(value)

    def kill(self) -> None:
        """End the child by SIGTERM and wait for it, in place of `result`."""
        os.close(self._reader)
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)


def _report(function: Callable[[], Any], writer: int) -> int:
    """In the child; returns its exit status."""
    report: tuple[bool, Any]
    try:
        report = (True, function())
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        return 130
    except (RootlessError, OSError) as error:
        report = (False, error_fields(error))
    except BaseException as error:  # noqa: BLE001 - no exception may return to the caller's code
        import traceback

        traceback.print_exception(error)
        report = (False, error_fields(error))
    write_all(writer, marshal.dumps(report))
    return 0
