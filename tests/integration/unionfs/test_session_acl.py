"""POSIX ACLs on a mounted union are those of the file system below: each step is carried out on both, and
what stat(2) and getxattr(2) show afterwards is compared."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from unionfs.posix_acl import GROUP, GROUP_OBJ, MASK, OTHER, USER, USER_OBJ
from unionfs.session.options import ServeOptions
from unionfs.xattr_names import ACCESS_ACL, DEFAULT_ACL

pytestmark = pytest.mark.needs("userns", "fuse")

NO_ID = 0xFFFFFFFF


def acl(*entries: tuple[int, int] | tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, bits, *(number or (NO_ID,))) for tag, bits, *number in entries
    )


NAMED = acl((USER_OBJ, 7), (USER, 4, 0), (GROUP_OBJ, 5), (GROUP, 6, 0), (MASK, 6), (OTHER, 1))
MINIMAL = acl((USER_OBJ, 6), (GROUP_OBJ, 4), (OTHER, 0))
ONLY_MASK = acl((USER_OBJ, 6), (GROUP_OBJ, 4), (MASK, 5), (OTHER, 4))


@pytest.fixture
def populate() -> Callable[[Path], None]:
    def fill(lower: Path) -> None:
        (lower / "below").write_bytes(b"x")
        (lower / "below").chmod(0o640)
        (lower / "directory").mkdir(mode=0o755)

    return fill


def shown(root: Path) -> dict[str, tuple[int, dict[str, bytes]]]:
    """Mode and ACLs of everything, by path."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            continue
        names = [n for n in os.listxattr(path) if n.startswith("system.posix_acl")]
        found[str(path.relative_to(root))] = (
            path.stat().st_mode,
            {name: os.getxattr(path, name) for name in names},
        )
    return found


def set_acl(name: str, kind: bytes, value: bytes) -> Callable[[Path], None]:
    return lambda root: os.setxattr(root / name, kind, value)


def make(root: Path) -> None:
    (root / "directory" / "sub").mkdir(mode=0o770)
    (root / "directory" / "file").touch(mode=0o664)
    (root / "directory" / "sub" / "private").touch(mode=0o600)
    (root / "directory" / "sub" / "deeper").mkdir(mode=0o777)
    os.mkfifo(root / "directory" / "fifo", 0o666)
    (root / "directory" / "link").symlink_to("file")


def make_tmpfile(root: Path) -> None:
    fd = os.open(root / "directory", os.O_TMPFILE | os.O_RDWR, 0o666)
    os.link(f"/proc/self/fd/{fd}", root / "directory" / "named", src_dir_fd=fd)
    os.close(fd)


STEPS: dict[str, list[Callable[[Path], None]]] = {
    "named entries set the mode": [set_acl("below", ACCESS_ACL, NAMED)],
    "one that says no more than a mode is not kept": [
        set_acl("below", ACCESS_ACL, NAMED),
        set_acl("below", ACCESS_ACL, MINIMAL),
    ],
    "a mask alone is kept": [set_acl("below", ACCESS_ACL, ONLY_MASK)],
    "chmod changes owner, mask and others": [
        set_acl("below", ACCESS_ACL, NAMED),
        lambda root: (root / "below").chmod(0o604),
        lambda root: (root / "below").chmod(0o775),
    ],
    "removed": [
        set_acl("below", ACCESS_ACL, NAMED),
        lambda root: os.removexattr(root / "below", ACCESS_ACL),
    ],
    "removed where there is none": [lambda root: os.removexattr(root / "below", ACCESS_ACL)],
    "default ACLs are inherited": [set_acl("directory", DEFAULT_ACL, NAMED), make],
    "a minimal default ACL takes the place of the umask": [
        set_acl("directory", DEFAULT_ACL, acl((USER_OBJ, 7), (GROUP_OBJ, 7), (OTHER, 7))),
        make,
    ],
    "without a default ACL the umask counts": [make],
    "after a default ACL was removed the umask counts": [
        set_acl("directory", DEFAULT_ACL, NAMED),
        lambda root: os.removexattr(root / "directory", DEFAULT_ACL),
        make,
    ],
    "renamed and written to": [
        set_acl("below", ACCESS_ACL, NAMED),
        lambda root: (root / "below").rename(root / "directory" / "moved"),
        lambda root: (root / "directory" / "moved").write_text("changed") and None,
    ],
}


@pytest.fixture
def acls_below(tmp_path: Path) -> None:
    """The file system below has ACLs, which NFS 4 has not."""
    try:
        os.getxattr(tmp_path, ACCESS_ACL)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            pytest.skip("the file system below has no POSIX ACLs")


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_as_on_the_file_system_below(union, tmp_path, populate, acls_below, steps):
    plain = tmp_path / "plain"
    plain.mkdir()
    populate(plain)
    mountpoint = union.mounted.mountpoint
    # libfuse does not let pyfuse3 ask for FUSE_DONT_MASK: there the kernel has applied the umask
    # before a default ACL is seen.
    umask = 0o027 if union.session == "device" else 0

    def run() -> list[object]:
        results = []
        for root in (mountpoint, plain):
            os.umask(umask)
            for step in steps:
                step(root)
            results.append(shown(root))
        return results

    ours, theirs = union.mounted.inside(run)
    assert ours == theirs


def test_unnamed_files_inherit(union, tmp_path, device_only, acls_below):
    plain = tmp_path / "plain"
    (plain / "directory").mkdir(parents=True)
    mountpoint = union.mounted.mountpoint

    def run() -> list[object]:
        results = []
        for root in (mountpoint, plain):
            os.umask(0o077)
            os.setxattr(root / "directory", DEFAULT_ACL, NAMED)
            make_tmpfile(root)
            results.append(shown(root / "directory"))
        return results

    ours, theirs = union.mounted.inside(run)
    assert ours == theirs != {}


def test_acls_outlast_copy_up_and_are_kept_beside_the_file(union):
    """Owners are kept as data here: the ACL of the container is no ACL on disk."""

    def run() -> bytes:
        os.setxattr("below", ACCESS_ACL, NAMED)
        return os.getxattr("below", ACCESS_ACL)

    assert union.mounted.inside(run) == NAMED
    names = os.listxattr(union.upper / "below")
    assert "system.posix_acl_access" not in names
    assert "user.rootless.xattr.system.posix_acl_access" in names


REFUSED = {
    "a default ACL of a file": (DEFAULT_ACL, NAMED),
    "nothing": (ACCESS_ACL, b""),
    "half an entry": (ACCESS_ACL, NAMED[:-4]),
    "an entry missing": (ACCESS_ACL, NAMED[:-8]),
    "an entry twice": (ACCESS_ACL, NAMED + NAMED[4:12]),
    "another version": (ACCESS_ACL, b"\3" + NAMED[1:]),
    "an id that does not exist": (
        ACCESS_ACL,
        acl((USER_OBJ, 7), (USER, 4, 5), (GROUP_OBJ, 5), (MASK, 6), (OTHER, 1)),
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refused_as_on_the_file_system_below(union, tmp_path, acls_below, case):
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    below = union.mounted.mountpoint / "below"

    def run() -> list[int | None]:
        found: list[int | None] = []
        for path in (below, plain):
            try:
                os.setxattr(path, *case)
                found.append(None)
            except OSError as error:
                found.append(error.errno)
        return found

    ours, theirs = union.mounted.inside(run)
    assert ours == theirs


class TestWithout:
    @pytest.fixture
    def serve_options(self) -> ServeOptions:
        return ServeOptions(posix_acl=False)

    def test_acls_are_refused_as_on_a_file_system_without(self, union):
        def run() -> list[int | None]:
            found = []
            for call, *values in (
                (os.setxattr, ACCESS_ACL, NAMED),
                (os.getxattr, ACCESS_ACL),
            ):
                with pytest.raises(OSError, match="not supported") as raised:
                    call("below", *values)
                found.append(raised.value.errno)
            return found

        assert union.mounted.inside(run) == [errno.EOPNOTSUPP] * 2
        assert [n for n in os.listxattr(union.path / "below") if n.startswith("system")] == []
