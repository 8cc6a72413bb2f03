"""A function in a child process: its result, its errors, and its death, as the parent sees them."""

import errno
import os
import signal

import pytest

from rootless.errors import CommandNotFoundError, NotFoundError, RootlessError
from rootless.run_in_child import ChildCall, error_fields, error_from, run_in_child


def raising(error):
    def function():
        raise error

    return function


@pytest.mark.parametrize("value", [None, "text", b"\0" * 300_000, [("A", b"x")], {"a": 1}])
def test_result_arrives_whole(value):
    assert run_in_child(lambda: value) == value


def test_function_runs_in_another_process():
    assert run_in_child(os.getpid) != os.getpid()


def test_engine_error_keeps_its_class_hint_and_details():
    error = NotFoundError("no such image", hint="pull it", details={"name": "x"})
    with pytest.raises(NotFoundError) as caught:
        run_in_child(raising(error))
    assert (caught.value.message, caught.value.hint) == ("no such image", "pull it")
    assert caught.value.details == {"name": "x"}


def test_system_error_keeps_its_number_and_file():
    with pytest.raises(PermissionError) as caught:
        run_in_child(raising(PermissionError(errno.EACCES, "Permission denied", b"/x\xff")))
    assert os.fsencode(caught.value.filename) == b"/x\xff"


def test_defect_is_named_and_does_not_return_twice(capfd):
    with pytest.raises(RootlessError, match="ZeroDivisionError: by zero"):
        run_in_child(raising(ZeroDivisionError("by zero")))
    assert "Traceback" in capfd.readouterr().err


def test_killed_child_is_an_error():
    with pytest.raises(RootlessError, match="killed by signal 9"):
        run_in_child(lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_interrupted_child_interrupts_the_parent():
    with pytest.raises(KeyboardInterrupt):
        run_in_child(raising(KeyboardInterrupt()))


def test_status_of_an_error_survives_the_way():
    error = error_from(error_fields(CommandNotFoundError("exec")))
    assert isinstance(error, RootlessError)
    assert error.exit_status == 127


def test_child_that_is_killed_gives_no_result_and_is_waited_for():
    call = ChildCall(signal.pause)
    call.kill()
    with pytest.raises(ChildProcessError):
        os.waitpid(call.pid, 0)
