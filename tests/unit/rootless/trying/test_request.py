"""The container of a command that is tried is as little of one as it can be."""

import pytest

from rootless.errors import UsageError
from rootless.spec.options import Bind
from rootless.trying.request import TryRequest, options_of_try

ENVIRON = {"PATH": "/bin", "HOME": "/home/ann", "SSH_AUTH_SOCK": "/run/agent"}


def options(**more):
    request = TryRequest(("true",), "one", **more)
    return options_of_try(request, ENVIRON, directory="/home/ann", umask=0o077)


def test_surroundings_are_the_callers():
    made = options()
    assert (made.rootfs, made.workdir, made.umask, made.namespaces.uts) == (
        "/",
        "/home/ann",
        0o077,
        False,
    )
    assert made.userns.keep
    assert made.own_etc


def test_variables_of_agents_are_left_out_unless_they_are_asked_for():
    assert options().variables == (("PATH", "/bin"), ("HOME", "/home/ann"))
    assert ("SSH_AUTH_SOCK", "/run/agent") in options(agents=True).variables


def test_on_makes_the_rest_read_only():
    made = options(on=("/work",))
    assert (made.read_only, made.writable) == (True, ("/work",))
    assert not options().read_only


def test_hidden_path_below_a_real_one_is_masked_too():
    made = options(through=("/work",), hidden=("/work/secret", "/etc/secret"))
    assert made.mounts == (Bind("/work", "/work"),)
    assert made.hidden == ("/work/secret", "/etc/secret")
    assert made.security.mask == ("/work/secret",)


def test_hidden_path_below_a_mount_of_the_container_is_masked_too():
    made = options(hidden=("/proc/version", "/sys/kernel", "/device"))
    assert made.security.mask == ("/proc/version", "/sys/kernel")


@pytest.mark.parametrize(
    "more",
    [
        {"on": ("/",)},
        {"on": ("/proc",)},
        {"on": ("/dev/shm",)},
        {"through": ("/",)},
        {"hidden": ("/",)},
        {"through": ("/a",), "hidden": ("/a",)},
    ],
)
def test_paths_that_make_no_sense_are_refused(more):
    with pytest.raises(UsageError):
        options(**more)
