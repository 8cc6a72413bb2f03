"""What an upper becomes in a layer: attributes, devices, owners, times."""

import io
import os
import stat
import tarfile

import pytest

from tests.support.tar_layers import directory, layer_of, member
from unionfs.changes.snapshot import Kind, Snapshot
from unionfs.directory import DirectoryUpper
from unionfs.directory.upper_readonly import ReadOnlyUpper
from unionfs.model import ROOT_NODE, Caller, SetAttributes
from unionfs.ownership import IdView, Ownership
from unionfs.posix_acl import GROUP_OBJ, MASK, OTHER, USER, USER_OBJ, AclEntry, encode, with_mode
from unionfs.union import Union, UnionOptions
from unionfs.xattr_names import ACCESS_ACL, DEFAULT_ACL

ROOT = Caller(0, 0)
NO_ID = 0xFFFFFFFF


@pytest.fixture
def places(tmp_path):
    return os.fsencode(tmp_path / "upper"), os.fsencode(tmp_path / "work")


@pytest.fixture
def base(tmp_path):
    return lambda: layer_of(tmp_path, [directory("etc"), member("etc/file", b"x")])


@pytest.fixture
def union(places, base):
    union = Union([base()], DirectoryUpper(*places, ownership=Ownership.DATA))
    yield union
    union.destroy()


def snapshot_of(places, base):
    return Snapshot([base()], ReadOnlyUpper(*places, ownership=Ownership.DATA))


def layer_of_changes(places, base, **options):
    snapshot = snapshot_of(places, base)
    data = b"".join(snapshot.layer_archive(snapshot.changes(), **options))
    snapshot.close()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {each.name: each for each in archive}


def test_attributes_capabilities_and_devices_are_said(union, places, base):
    file = union.create(ROOT_NODE, b"file", 0o755, os.O_RDWR, Caller(5, 6)).nodeid
    union.setxattr(file, b"user.mine", b"1", 0)
    union.setxattr(file, b"security.capability", b"\x01\x00\x00\x02" + bytes(16), 0)
    union.mknod(ROOT_NODE, b"null", stat.S_IFCHR | 0o666, os.makedev(1, 3), ROOT)
    union.mknod(ROOT_NODE, b"disk", stat.S_IFBLK | 0o660, os.makedev(8, 1), Caller(0, 6))
    union.mknod(ROOT_NODE, b"socket", stat.S_IFSOCK | 0o600, 0, ROOT)
    layer = layer_of_changes(places, base)
    assert sorted(layer) == ["disk", "file", "null"]
    assert (layer["file"].uid, layer["file"].gid) == (5, 6)
    headers = layer["file"].pax_headers
    assert headers["SCHILY.xattr.user.mine"] == "1"
    assert "SCHILY.xattr.security.capability" in headers
    assert not any("rootless" in name or "override" in name for name in headers)
    assert layer["null"].ischr()
    assert (layer["null"].devmajor, layer["null"].devminor) == (1, 3)
    assert layer["disk"].isblk()
    assert (layer["disk"].devmajor, layer["disk"].mode) == (8, 0o660)


def test_times_are_bounded_by_the_newest(union, places, base):
    for name, seconds in ((b"old", 1000), (b"new", 5000)):
        node = union.create(ROOT_NODE, name, 0o644, os.O_RDWR, ROOT).nodeid
        union.setattr(node, SetAttributes(mtime_ns=seconds * 10**9))
    layer = layer_of_changes(places, base, newest=3000)
    assert (layer["old"].mtime, layer["new"].mtime) == (1000, 3000)


def test_mode_of_the_root_is_said_only_if_it_was_changed(union, places, base):
    assert layer_of_changes(places, base) == {}
    union.setattr(ROOT_NODE, SetAttributes(mode=0o700))
    (root,) = layer_of_changes(places, base).values()
    assert (root.isdir(), root.mode) == (True, 0o700)


def test_place_to_mount_on_is_pruned_unless_it_was_used(union, places, base):
    etc = union.lookup(ROOT_NODE, b"etc").nodeid
    union.create(etc, b"hosts", 0o644, os.O_RDWR, ROOT)
    data = union.mkdir(ROOT_NODE, b"data", 0o755, ROOT).nodeid
    union.mkdir(data, b"inner", 0o755, ROOT)
    used = union.mkdir(ROOT_NODE, b"used", 0o755, ROOT).nodeid
    union.create(used, b"by-somebody", 0o644, os.O_RDWR, ROOT)
    snapshot = snapshot_of(places, base)
    mountpoints = [b"/etc/hosts", b"/data/inner", b"/used"]
    found = [(change.kind, change.path) for change in snapshot.changes(mountpoints)]
    snapshot.close()
    assert found == [(Kind.ADDED, b"used"), (Kind.ADDED, b"used/by-somebody")]


def test_place_to_mount_on_is_found_through_links(union, places, base):
    union.mkdir(ROOT_NODE, b"run", 0o755, ROOT)
    run = union.lookup(ROOT_NODE, b"run").nodeid
    union.symlink(ROOT_NODE, b"var-run", b"/../run/./", ROOT)
    union.create(run, b"socket", 0o644, os.O_RDWR, ROOT)
    snapshot = snapshot_of(places, base)
    assert snapshot.resolve(b"/var-run/socket") == b"run/socket"
    paths = [change.path for change in snapshot.changes([b"/var-run/socket"])]
    snapshot.close()
    assert b"run/socket" not in paths


def test_upper_is_read_while_another_serves_it(union, places, base):
    node = union.create(ROOT_NODE, b"open", 0o644, os.O_RDWR, ROOT).nodeid
    union.write(node, 0, b"written")
    assert layer_of_changes(places, base)["open"].size == 7
    union.write(node, 7, b" more")
    assert layer_of_changes(places, base)["open"].size == 12


def test_acls_go_into_a_layer_in_step_with_the_mode(union, places, base, tmp_path):
    acl = (
        AclEntry(USER_OBJ, 7, NO_ID),
        AclEntry(USER, 4, 1000),
        AclEntry(GROUP_OBJ, 5, NO_ID),
        AclEntry(MASK, 6, NO_ID),
        AclEntry(OTHER, 1, NO_ID),
    )
    file = union.create(ROOT_NODE, b"file", 0o600, os.O_RDWR, ROOT).nodeid
    union.setxattr(file, ACCESS_ACL, encode(acl), 0)
    assert stat.S_IMODE(union.getattr(file).mode) == 0o761
    union.setattr(file, SetAttributes(mode=0o640))
    made = union.mkdir(ROOT_NODE, b"made", 0o750, ROOT).nodeid
    union.setxattr(made, DEFAULT_ACL, encode(acl), 0)
    snapshot = snapshot_of(places, base)
    data = b"".join(snapshot.layer_archive(snapshot.changes()))
    snapshot.close()
    (tmp_path / "again").mkdir()
    layer = layer_of(tmp_path / "again", data)
    # What any reader of the archive finds, and what a union shows of it.
    wanted = encode(with_mode(acl, 0o640))
    assert layer.xattrs(layer.lookup(layer.root().ref, b"file").ref)[ACCESS_ACL] == wanted
    only_root = IdView(((0, 1),), ((0, 1),), 0, 0)
    for view, entries in ((None, acl), (only_root, (acl[0], *acl[2:]))):
        again = Union([layer], None, UnionOptions(view=view))
        node = again.lookup(ROOT_NODE, b"file").nodeid
        assert again.getxattr(node, ACCESS_ACL) == encode(with_mode(entries, 0o640))
        directory_node = again.lookup(ROOT_NODE, b"made").nodeid
        assert again.listxattr(directory_node) == [DEFAULT_ACL]
        assert again.getxattr(directory_node, DEFAULT_ACL) == encode(entries)


def test_metadata_of_a_file_that_is_only_below_are_in_the_layer(places, base):
    upper = DirectoryUpper(*places, ownership=Ownership.DATA)
    union = Union([base()], upper, UnionOptions(defers_metadata=True))
    etc = union.lookup(ROOT_NODE, b"etc").nodeid
    file = union.lookup(etc, b"file").nodeid
    union.setattr(file, SetAttributes(mode=0o600, uid=3))
    for _ in range(2):  # while it is served, and after the end of the server
        snapshot = snapshot_of(places, base)
        changes = [(change.kind, change.path) for change in snapshot.changes()]
        assert changes == [(Kind.CHANGED, b"etc"), (Kind.CHANGED, b"etc/file")]
        assert snapshot.find(b"etc/file").attributes.uid == 3
        snapshot.close()
        layer = layer_of_changes(places, base)
        assert (layer["etc/file"].mode, layer["etc/file"].uid, layer["etc/file"].size) == (
            0o600,
            3,
            1,
        )
        union.destroy()


def test_metadata_below_a_directory_that_was_moved_are_in_the_layer(places, base):
    upper = DirectoryUpper(*places, ownership=Ownership.DATA)
    union = Union([base()], upper, UnionOptions(defers_metadata=True))
    union.rename(ROOT_NODE, b"etc", ROOT_NODE, b"moved", 0)
    moved = union.lookup(ROOT_NODE, b"moved").nodeid
    union.setattr(union.lookup(moved, b"file").nodeid, SetAttributes(mode=0o600))
    layer = layer_of_changes(places, base)
    assert sorted(layer) == [".wh.etc", "moved", "moved/file"]
    assert layer["moved/file"].mode == 0o600
    union.destroy()
