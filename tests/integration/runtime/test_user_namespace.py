"""A function called as root of a user namespace: its result, its errors, and what it may do there."""

import errno
import os

import pytest

from rootless.errors import RootlessError, UsageError
from rootless.runtime.account import read_id_maps
from rootless.runtime.idmap import IdMaps, IdRange, UserNamespaceMode
from rootless.runtime.user_namespace import run_in_user_namespace
from tests.support.processes import own_children


@pytest.fixture
def maps():
    return read_id_maps(UserNamespaceMode())


def test_function_is_called_as_root(maps):
    assert run_in_user_namespace(maps, lambda: (os.getuid(), os.getgid())) == (0, 0)


def test_files_made_there_belong_to_the_caller(maps, tmp_path):
    run_in_user_namespace(maps, lambda: (tmp_path / "made").write_text("x") and None)
    assert (tmp_path / "made").stat().st_uid == os.getuid()


def test_error_of_the_function_is_raised_with_its_path(maps, tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        run_in_user_namespace(maps, lambda: os.unlink(tmp_path / "none"))
    assert (raised.value.errno, raised.value.filename) == (errno.ENOENT, str(tmp_path / "none"))

    def refuse():
        raise UsageError("no", hint="ask")

    with pytest.raises(UsageError, match="no"):
        run_in_user_namespace(maps, refuse)


def test_maps_that_the_kernel_refuses_leave_no_child():
    before = own_children()
    foreign = (IdRange(0, 0, 1),)
    with pytest.raises(RootlessError):
        run_in_user_namespace(IdMaps(foreign, foreign, helper=False), lambda: None)
    assert own_children() <= before
