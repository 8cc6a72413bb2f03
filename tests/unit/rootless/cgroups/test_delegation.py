"""Which control group is chosen, and the error when there is none."""

import os

import pytest

from rootless.cgroups.control_group import flat_keyed, list_of
from rootless.cgroups.delegation import (
    Level,
    candidates,
    create,
    facts_in,
    levels,
    obstacle,
    subtree_of,
)
from rootless.cgroups.hierarchy import Hierarchy, View, may_delegate
from rootless.cgroups.stats import DeviceUse, device_uses, number
from rootless.errors import HostSupportError, InvalidDocumentError

ALL = frozenset({"cpu", "cpuset", "io", "memory", "pids"})
MEMORY = {"memory": {"limit": 64 << 20, "swap": 128 << 20}}


def view(version="v2", directory=None, *, bus=None, batch_job=False, top="/sys/fs/cgroup"):
    hierarchy = Hierarchy(version, top if version == "v2" else None, directory)
    return View(hierarchy=hierarchy, uid=12345, batch_job=batch_job, bus=bus)


def make_group(path, handed_down="", available="cpu memory pids"):
    path.mkdir(parents=True)
    (path / "cgroup.procs").touch()
    (path / "cgroup.controllers").write_text(available)
    (path / "cgroup.subtree_control").write_text(handed_down)
    return str(path)


def test_group_already_divided_is_taken_before_our_own():
    own, parent = Level("/t/p/own", ALL, frozenset()), Level("/t/p", ALL, ALL)
    subtree = subtree_of([own, parent], ALL)
    assert (subtree.level, subtree.own, subtree.has_processes) == (parent, "/t/p/own", False)
    assert subtree.no_side_effects


def test_own_group_with_processes_in_it_is_divided_only_for_a_limit():
    subtree = subtree_of([Level("/t/own", ALL, frozenset())], frozenset())
    assert subtree.has_processes
    assert not subtree.no_side_effects


def test_group_that_has_the_controller_is_taken_before_a_nearer_that_has_not():
    near = Level("/t/p", frozenset({"pids"}), frozenset({"pids"}))
    far = Level("/t", ALL, ALL)
    own = Level("/t/p/own", frozenset({"pids"}), frozenset())
    assert subtree_of([own, near, far], frozenset({"memory"})).level == far
    assert subtree_of([own, near, far], frozenset({"pids"})).level == near


def test_nothing_owned_is_no_subtree():
    assert subtree_of([], ALL) is None


def test_levels_end_where_ownership_ends(tmp_path):
    top = make_group(tmp_path / "top", "memory")
    middle = make_group(tmp_path / "top" / "middle", "memory")
    own = make_group(tmp_path / "top" / "middle" / "own")
    (tmp_path / "top" / "cgroup.procs").chmod(0o444)
    if os.geteuid() == 0:
        pytest.skip("root may write to everything")
    assert [level.path for level in levels(own, top)] == [own, middle]
    assert levels(own, top)[1].handed_down == {"memory"}


def test_systemd_is_asked_before_an_owned_group_is_used(tmp_path):
    own = make_group(tmp_path / "own")
    seen = view(directory=own, bus="/run/bus", top=str(tmp_path))
    assert [way.driver for way in candidates(seen, ALL)] == ["systemd", "cgroupfs"]


def test_container_of_a_batch_job_stays_in_the_job(tmp_path):
    own = make_group(tmp_path / "own")
    seen = view(directory=own, bus="/run/bus", batch_job=True, top=str(tmp_path))
    assert [way.driver for way in candidates(seen, ALL)] == ["cgroupfs"]


@pytest.mark.parametrize("version", ["hybrid", "v1", "none"])
def test_machine_without_version_2_offers_nothing(version):
    assert list(candidates(view(version, bus="/run/bus"), ALL)) == []


@pytest.mark.parametrize(
    ("seen", "reason", "hint"),
    [
        (view("hybrid"), "in cgroup version 1", "systemd.unified_cgroup_hierarchy=1"),
        (view("v1"), "in cgroup version 1", "systemd.unified_cgroup_hierarchy=1"),
        (view("none"), "no cgroup2 file system is mounted", "mount -t cgroup2"),
        (view(directory="/sys/fs/cgroup/x"), "may not divide /sys/fs/cgroup/x", "loginctl"),
    ],
)
def test_limit_that_nothing_can_keep_is_refused_with_reason_and_remedy(seen, reason, hint):
    assert obstacle(seen)[0].find(reason) >= 0
    with pytest.raises(HostSupportError) as caught:
        create(seen, "id", MEMORY, [1])
    assert caught.value.message.startswith("--memory cannot be enforced: ")
    assert reason in caught.value.message
    assert hint in caught.value.hint


def test_no_limit_on_such_a_machine_is_no_group_and_no_error():
    for version in ("hybrid", "v1", "none", "v2"):
        assert create(view(version), "id", {}, [1]) is None


def test_systemd_that_is_dead_is_no_obstacle_without_limits(tmp_path):
    assert create(view(bus=str(tmp_path / "no bus")), "id", {}, [1]) is None


def test_systemd_that_is_dead_is_named_when_a_limit_was_asked_for(tmp_path):
    with pytest.raises(HostSupportError, match=r"--memory cannot be enforced: .*no bus"):
        create(view(bus=str(tmp_path / "no bus")), "id", MEMORY, [1])


def test_controller_that_is_not_delegated_is_named_with_the_limit(tmp_path):
    own = make_group(tmp_path / "own", available="memory pids")
    with pytest.raises(HostSupportError) as caught:
        create(view(directory=own, top=str(tmp_path)), "id", {"cpu": {"cpus": "0"}}, [1])
    assert caught.value.message == (
        f"--cpuset-cpus cannot be enforced: the cpuset controller is not delegated to {own}"
    )
    assert "Delegate=cpu cpuset io memory pids" in caught.value.hint
    assert caught.value.details["controller"] == "cpuset"


def test_parent_cannot_be_had_without_a_group():
    with pytest.raises(HostSupportError, match="--cgroup-parent"):
        create(view("hybrid"), "id", {}, [1], parent="mine.slice")


def test_malformed_resources_are_refused_before_anything_is_made():
    with pytest.raises(InvalidDocumentError):
        create(view(), "id", {"memory": 1}, [1])


def test_facts_say_why_there_is_no_driver():
    seen = facts_in(view("hybrid"))
    assert (seen.version, seen.driver, seen.controllers) == ("hybrid", "none", ())
    assert "version 1" in seen.reason


def test_facts_name_the_controllers_of_an_owned_group(tmp_path):
    own = make_group(tmp_path / "own", available="hugetlb memory cpu")
    seen = facts_in(view(directory=own, top=str(tmp_path)))
    assert (seen.driver, seen.controllers, seen.reason) == ("cgroupfs", ("cpu", "memory"), None)


def test_texts_of_the_kernel_are_read():
    assert flat_keyed("low 0\noom_kill 3\n\nodd\n") == {"low": 0, "oom_kill": 3}
    assert list_of("0-2,5\n".strip()) == {0, 1, 2, 5}
    assert list_of("") == set()
    assert (number("max\n"), number("42\n"), number("")) == (None, 42, None)


def test_io_stat_is_read_a_device_a_line():
    text = "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n253:0\n"
    assert device_uses(text) == (DeviceUse(8, 0, 1, 2, 3, 4),)


@pytest.mark.parametrize("version", ["v2", "hybrid", "v1", "none"])
@pytest.mark.parametrize("owns", [True, False])
@pytest.mark.parametrize("bus", [None, "/run/user/12345/bus"])
@pytest.mark.parametrize("batch_job", [True, False])
def test_machine_that_may_delegate_has_candidates(tmp_path, version, owns, bus, batch_job):
    own = make_group(tmp_path / "own") if owns else str(tmp_path / "of another user")
    seen = view(version, own, bus=bus, batch_job=batch_job, top=str(tmp_path))
    assert may_delegate(seen) is any(True for _ in candidates(seen, frozenset()))
