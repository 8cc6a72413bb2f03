"""Where a process stands, from the texts of /proc/self."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.cgroups.hierarchy import (
    Hierarchy,
    bus_candidates,
    controllers_at,
    hierarchy_of,
    in_batch_job,
    observe,
    own_path,
)

V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MEMORY = "36 31 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
V1_NAMED = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
V2_BESIDE = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
HOST = "23 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"


def test_unified_machine_gives_our_directory():
    assert hierarchy_of("0::/user.slice/session-1.scope\n", HOST + V2) == Hierarchy(
        "v2", "/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/session-1.scope"
    )


def test_process_at_the_root_stands_at_the_mount_point():
    assert hierarchy_of("0::/\n", V2).directory == "/sys/fs/cgroup"


def test_hybrid_machine_is_told_from_a_unified_one():
    texts = "9:name=systemd:/a\n4:memory:/a\n0::/a\n", HOST + V1_MEMORY + V1_NAMED + V2_BESIDE
    assert hierarchy_of(*texts) == Hierarchy(
        "hybrid", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/a"
    )


def test_named_hierarchy_without_controllers_takes_nothing_away():
    assert hierarchy_of("0::/a\n", V2 + V1_NAMED).version == "v2"


def test_legacy_machine_and_bare_machine():
    assert hierarchy_of("4:memory:/\n", HOST + V1_MEMORY) == Hierarchy("v1")
    assert hierarchy_of("", HOST) == Hierarchy("none")


@pytest.mark.parametrize("path", ["/../../other", "/elsewhere", "/jobs"])
def test_group_outside_what_is_mounted_has_no_directory(path):
    mount = "31 23 0:28 /job /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    assert hierarchy_of(f"0::{path}\n", mount) == Hierarchy("v2", "/sys/fs/cgroup")


def test_mount_of_a_part_is_looked_up_below_it():
    mount = "31 23 0:28 /job /my\\040cgroup rw master:1 - cgroup2 cgroup2 rw\n"
    assert hierarchy_of("0::/job/step\n", mount).directory == "/my cgroup/step"
    assert hierarchy_of("0::/job\n", mount).directory == "/my cgroup"


def test_deleted_group_still_has_a_path():
    assert own_path("0::/gone (deleted)\n") == "/gone"
    assert own_path("4:memory:/\n") is None


@given(st.text(), st.text())
def test_any_text_is_a_hierarchy(cgroup, mountinfo):
    assert hierarchy_of(cgroup, mountinfo).version in {"v2", "hybrid", "v1", "none"}


def test_batch_job_is_known_by_its_variables_or_its_group():
    assert in_batch_job({"SLURM_JOB_ID": "1"}, None)
    assert in_batch_job({"PBS_JOBID": "1"}, "/sys/fs/cgroup/a")
    assert in_batch_job({}, "/sys/fs/cgroup/system.slice/slurmstepd.scope/job_1/step_0")
    assert not in_batch_job({"HOME": "/"}, "/sys/fs/cgroup/user.slice")


def test_bus_is_looked_for_where_it_was_named_first():
    environ = {
        "DBUS_SESSION_BUS_ADDRESS": "tcp:host=a;unix:path=/tmp/bus,guid=1",
        "XDG_RUNTIME_DIR": "/run/user/5",
    }
    assert bus_candidates(environ, 5) == (
        "/tmp/bus",
        "/run/user/5/bus",
        "/run/user/5/systemd/private",
    )
    assert bus_candidates({}, 7) == ("/run/user/7/bus", "/run/user/7/systemd/private")


def test_observing_this_machine_finds_what_it_is():
    view = observe({"XDG_RUNTIME_DIR": "/nowhere"})
    assert view.hierarchy.version in {"v2", "hybrid", "v1", "none"}
    assert view.bus is None


def test_group_that_does_not_exist_has_no_controllers(tmp_path):
    assert controllers_at(str(tmp_path)) == frozenset()
