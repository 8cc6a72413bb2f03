"""The edits of devices, carried out on an OCI runtime spec."""

import pytest

from rootless.cdi.document import ContainerEdits, DeviceNode, Hook, Mount
from rootless.cdi.edits import apply_edits
from rootless.errors import HostSupportError

SPEC = {
    "process": {"env": ["PATH=/bin", "A=0"], "user": {"uid": 0, "gid": 0}},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": []},
        {"destination": "/lib/x", "type": "bind", "source": "/old", "options": ["bind"]},
    ],
}


def test_a_variable_and_a_mount_take_the_place_of_earlier_ones():
    edits = ContainerEdits(env=("A=1", "B=2"), mounts=(Mount("/new", "/lib/x", ("ro",)),))
    result = apply_edits(SPEC, [edits, ContainerEdits(env=("B=3",))])
    assert result["process"]["env"] == ["PATH=/bin", "A=1", "B=3"]
    assert [each["destination"] for each in result["mounts"]] == ["/proc", "/lib/x"]
    assert result["mounts"][1] == {
        "destination": "/lib/x",
        "type": "bind",
        "source": "/new",
        "options": ["rbind", "ro"],
    }
    assert SPEC["process"]["env"] == ["PATH=/bin", "A=0"]


def test_device_nodes_are_binds_and_outer_mounts_come_first():
    edits = ContainerEdits(
        devices=(DeviceNode("/dev/x/y", "/dev/null"),),
        mounts=(Mount("tmpfs-of-it", "/dev/x", ("mode=755",), "tmpfs"),),
    )
    mounts = apply_edits(SPEC, [edits])["mounts"]
    targets = [each["destination"] for each in mounts]
    assert targets.index("/dev/x") < targets.index("/dev/x/y")
    assert mounts[-1]["source"] == "/dev/null"
    assert mounts[-1]["options"] == ["bind", "nosuid", "noexec"]


def test_hooks_and_groups_are_added():
    hook = Hook("createContainer", "/bin/hook", ("hook", "x"), ("A=1",), 3)
    edits = ContainerEdits(hooks=(hook,), additional_gids=(44, 44, 5))
    result = apply_edits(SPEC | {"hooks": {"poststop": [{"path": "/p"}]}}, [edits])
    assert result["hooks"] == {
        "poststop": [{"path": "/p"}],
        "createContainer": [
            {"path": "/bin/hook", "args": ["hook", "x"], "env": ["A=1"], "timeout": 3}
        ],
    }
    assert result["process"]["user"]["additionalGids"] == [44, 5]


def test_resource_director_is_refused_with_the_reason():
    with pytest.raises(HostSupportError, match="only root may write /sys/fs/resctrl"):
        apply_edits(SPEC, [ContainerEdits(has_intel_rdt=True)])
