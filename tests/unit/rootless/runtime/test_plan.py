"""From config.json to steps, and the order of messages."""

import pytest

from rootless.errors import HostSupportError, InvalidDocumentError
from rootless.runtime.handshake import ORDER, MessageKind, State, UnexpectedMessageError, advance
from rootless.runtime.idmap import UserNamespaceMode, make_maps
from rootless.runtime.mount_options import parse_mount_options
from rootless.runtime.plan import make_plan
from rootless.runtime.rootfs import BindRootfs, FuseRootfs, OverlayRootfs
from rootless.runtime.steps import attributes, filesystem, overlay
from rootless.syscalls import mount_flags

MAPS = make_maps(UserNamespaceMode(), uid=7, gid=7, subuids=(), subgids=())
ALL = ("user", "mount", "pid", "network", "ipc", "uts", "cgroup")


def spec_of(namespaces=ALL, **more):
    return {
        "process": {"args": ["cmd"], **more.pop("process", {})},
        "linux": {"namespaces": [{"type": n} for n in namespaces], **more.pop("linux", {})},
        **more,
    }


def kinds(plan):
    return [type(step) for step in plan.steps]


PLAIN = BindRootfs("/r")


def plan_of(spec, rootfs=PLAIN):
    return make_plan(spec, rootfs=rootfs, id_maps=MAPS, bundle="/bundle")


def test_plan_opens_sources_first_and_enters_the_root_after_all_mounts():
    spec = spec_of(
        root={"readonly": True},
        mounts=[
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/v", "type": "bind", "source": "rel", "options": ["rbind", "ro"]},
        ],
        linux={"maskedPaths": ["/m"], "readonlyPaths": ["/p"], "sysctl": {"a": "b"}},
    )
    order = kinds(plan_of(spec))
    become, enter = order.index(attributes.BecomeSetupUser), order.index(filesystem.EnterRoot)
    assert order.index(filesystem.OpenSource) < order.index(filesystem.BindRoot) < become
    assert become < order.index(filesystem.Mount) < order.index(filesystem.AttachSource) < enter
    assert order.index(attributes.WriteSysctl) < order.index(filesystem.ProtectPath) < enter
    assert enter < order.index(attributes.ResolveUser) < order.index(filesystem.ProtectRoot)


def test_plan_reads_relative_sources_from_the_bundle():
    spec = spec_of(mounts=[{"destination": "/v", "type": "bind", "source": "rel"}])
    opened = [s for s in plan_of(spec).steps if isinstance(s, filesystem.OpenSource)]
    assert opened[0].path == "/bundle/rel"


def test_plan_leaves_out_a_group_of_terminals_that_is_not_mapped():
    options = ["newinstance", "gid=5"]
    spec = spec_of(mounts=[{"destination": "/dev/pts", "type": "devpts", "options": options}])
    (mount,) = [s for s in plan_of(spec).steps if isinstance(s, filesystem.Mount)]
    assert mount.options == ("newinstance",)


def test_plan_mounts_the_union_before_ids_change():
    plan = plan_of(spec_of(), FuseRootfs("/m", source="s"))
    order = kinds(plan)
    assert order.index(filesystem.MountUnion) < order.index(attributes.BecomeSetupUser)
    assert "mount fuse.rootless-unionfs on /m" in plan.describe()


def test_plan_mounts_overlayfs_over_a_read_only_union():
    first, second = [
        step
        for step in plan_of(spec_of(), OverlayRootfs("/c")).steps
        if isinstance(step, filesystem.MountUnion | overlay.MountOverlay)
    ]
    assert (first.mountpoint, first.read_only) == ("/c/lower", True)
    assert second.describe() == "mount kernel overlayfs on /c/rootfs"


def test_plan_enters_the_cgroup_namespace_as_a_step():
    plan = plan_of(spec_of())
    assert plan.namespaces == set(ALL) - {"cgroup"}
    assert attributes.JoinCgroupNamespace in kinds(plan)
    assert attributes.JoinCgroupNamespace not in kinds(plan_of(spec_of(("user", "mount"))))


def test_plan_says_every_step_in_one_line():
    for line in plan_of(spec_of(hostname="h")).describe():
        assert line
        assert "\n" not in line


@pytest.mark.parametrize(
    "spec", [{}, {"process": {"args": []}}, spec_of(("pid",)), spec_of(("user",))]
)
def test_plan_of_a_spec_without_the_necessary_is_refused(spec):
    with pytest.raises(InvalidDocumentError):
        plan_of(spec)


def test_plan_that_joins_a_namespace_is_refused():
    spec = spec_of()
    spec["linux"]["namespaces"].append({"type": "network", "path": "/proc/1/ns/net"})
    expected = (
        r"config.json: joining an existing network namespace \(/proc/1/ns/net\) is not supported"
    )
    with pytest.raises(HostSupportError, match=expected):
        plan_of(spec)


def test_mount_options_later_word_wins():
    options = parse_mount_options(("ro", "noexec", "rw", "rslave", "rro", "size=1", "defaults"))
    assert options.attributes == mount_flags.MOUNT_ATTR_NOEXEC
    assert options.recursive_attributes == mount_flags.MOUNT_ATTR_RDONLY
    assert options.propagation == mount_flags.MS_SLAVE
    assert options.data == ("size=1",)
    assert not options.bind


def test_mount_options_bind_words():
    assert parse_mount_options(("rbind",)).recursive
    assert parse_mount_options(("bind",)).bind
    assert not parse_mount_options(("bind",)).recursive


def test_handshake_every_state_can_be_reached_and_left_only_by_its_messages():
    reached = {state for table in ORDER.values() for state in table.values()} | {State.CHOOSING}
    assert reached == set(State)
    for state in State:
        for kind in MessageKind:
            if kind in ORDER[state]:
                assert advance(state, kind) is ORDER[state][kind]
            else:
                with pytest.raises(UnexpectedMessageError):
                    advance(state, kind)
