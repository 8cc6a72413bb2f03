"""What programs expect of files, on a mounted union, through either session."""

from __future__ import annotations

import ctypes
import errno
import itertools
import json
import mmap
import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("userns", "fuse")

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2


@pytest.fixture
def populate():
    def fill(lower: Path) -> None:
        (lower / "directory").mkdir()
        (lower / "directory" / "file").write_bytes(b"from below\n")
        (lower / "big").write_bytes(os.urandom(1 << 20) * 5)
        (lower / "link").symlink_to("directory/file")
        (lower / "one").write_text("shared")
        os.link(lower / "one", lower / "two")
        (lower / "many").mkdir()
        for number in range(500):
            (lower / "many" / f"{number:04}").touch()

    return fill


def renameat2(old: Path, new: Path, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def test_mount_says_what_it_is(union):
    assert union.mounted.mountinfo().startswith("fuse.rootless-unionfs ")


def birth(path: Path) -> int:
    """statx(2), which Python has not."""
    command = ["stat", "-c", "%W", str(path)]
    return int(subprocess.run(command, capture_output=True, check=True, timeout=120).stdout)


@pytest.mark.usefixtures("device_only")
def test_time_of_birth_is_that_of_the_file_on_disk(union):
    if birth(union.lower / "big") == 0:
        pytest.skip("the file system below keeps no time of birth")
    os.utime(union.lower / "big", (5, 5))
    assert birth(union.path / "big") == birth(union.lower / "big") > 5
    (union.path / "new").touch()
    os.utime(union.path / "new", (5, 5))
    assert birth(union.path / "new") == birth(union.upper / "new") > 5


def test_write_to_a_lower_file_goes_to_the_upper(union):
    path = union.path / "directory" / "file"
    with path.open("ab") as file:
        file.write(b"from above\n")
    assert path.read_bytes() == b"from below\nfrom above\n"
    assert (union.lower / "directory" / "file").read_bytes() == b"from below\n"
    assert (union.upper / "directory" / "file").read_bytes() == b"from below\nfrom above\n"


def test_descriptor_opened_before_copy_up_sees_later_writes(union):
    path = union.path / "directory" / "file"
    with path.open("rb", buffering=0) as early:
        assert early.read(4) == b"from"
        inode = os.fstat(early.fileno()).st_ino
        path.write_bytes(b"FROM ABOVE\n")
        assert early.read() == b" ABOVE\n"
        assert path.stat().st_ino == inode


def test_large_reads_return_what_is_in_the_file(union):
    path = union.path / "odd"
    content = os.urandom((1 << 20) + 12_345)
    path.write_bytes(content)
    changed = content[:300_000] + b"!" * 70_000 + content[370_000:]
    for expected in (content, changed):
        with path.open("r+b", buffering=0) as file:
            if expected is changed:
                os.pwrite(file.fileno(), b"!" * 70_000, 300_000)
            os.fsync(file.fileno())
            # Clean pages go, so that the server is asked.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            for start in (0, 4096, 100_001, len(content) - 70_000, len(content) + 5):
                assert (
                    os.pread(file.fileno(), 1 << 20, start) == expected[start : start + (1 << 20)]
                )
        assert path.read_bytes() == expected
    assert (union.path / "big").read_bytes() == (union.lower / "big").read_bytes()


def test_big_lower_file_is_copied_while_others_are_served(union):
    path = union.path / "big"
    before = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), b"!", 12345)
        os.pwrite(file.fileno(), b"?", 4_000_000)
    expected = bytearray(before)
    expected[12345:12346] = b"!"
    expected[4_000_000:4_000_001] = b"?"
    assert path.read_bytes() == bytes(expected)
    assert (union.upper / "big").read_bytes() == bytes(expected)
    assert (union.lower / "big").read_bytes() == before


def test_truncate_grows_shrinks_and_empties(union):
    path = union.path / "directory" / "file"
    os.truncate(path, 4)
    assert path.read_bytes() == b"from"
    os.truncate(path, 8)
    assert path.read_bytes() == b"from\0\0\0\0"
    path.open("w").close()
    assert path.stat().st_size == 0


def test_open_with_truncation_empties_a_lower_file(union):
    path = union.path / "big"
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        assert os.fstat(fd).st_size == 0
    finally:
        os.close(fd)
    assert path.read_bytes() == b""


def test_append_from_two_descriptors_loses_nothing(union):
    path = union.path / "log"
    with path.open("ab", buffering=0) as first, path.open("ab", buffering=0) as second:
        for number in range(50):
            (first if number % 2 else second).write(b"%02d\n" % number)
    assert path.read_bytes() == b"".join(b"%02d\n" % number for number in range(50))


def test_rename_of_a_lower_directory_keeps_what_is_in_it(union):
    (union.path / "directory").rename(union.path / "elsewhere")
    assert (union.path / "elsewhere" / "file").read_bytes() == b"from below\n"
    assert not (union.path / "directory").exists()
    (union.path / "directory").mkdir()
    assert os.listdir(union.path / "directory") == []


def test_rename_onto_an_open_file_leaves_its_reader_alone(union):
    old, new = union.path / "old", union.path / "new"
    old.write_text("old")
    new.write_text("new")
    with old.open() as reader:
        new.rename(old)
        assert reader.read() == "old"
    assert old.read_text() == "new"


def test_rename_flags(union):
    a, b = union.path / "a", union.path / "b"
    a.write_text("a")
    b.write_text("b")
    with pytest.raises(FileExistsError):
        renameat2(a, b, RENAME_NOREPLACE)
    below = [union.lower.parent / name for name in ("one", "other")]
    for each in below:
        each.touch()
    try:
        renameat2(*below, RENAME_EXCHANGE)
    except OSError as error:
        # A union can do what the disk below it can: NFS, for one, refuses it.
        with pytest.raises(OSError, match=error.strerror):
            renameat2(a, b, RENAME_EXCHANGE)
        return
    renameat2(a, b, RENAME_EXCHANGE)
    assert (a.read_text(), b.read_text()) == ("b", "a")


def test_hard_links_of_the_lower_stay_links_after_copy_up(union):
    with (union.path / "one").open("a") as file:
        file.write(" and changed")
    assert (union.path / "two").read_text() == "shared and changed"
    assert (union.path / "one").stat().st_ino == (union.path / "two").stat().st_ino
    assert (union.path / "one").stat().st_nlink == 2


def test_link_and_unlink_count(union):
    path = union.path / "file"
    path.write_text("x")
    os.link(path, union.path / "other")
    assert path.stat().st_nlink == 2
    (union.path / "other").unlink()
    assert path.stat().st_nlink == 1


def test_symbolic_links(union):
    assert os.readlink(union.path / "link") == "directory/file"
    assert (union.path / "link").read_bytes() == b"from below\n"
    (union.path / "new").symlink_to("nowhere")
    assert not (union.path / "new").exists()
    assert (union.path / "new").is_symlink()


def test_missing_name_appears_when_created(union):
    path = union.path / "later"
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            path.stat()
    path.touch()
    assert path.exists()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        path.stat()
    path.mkdir()
    assert path.is_dir()


def test_unlinked_open_file_keeps_working(union):
    for name in ("directory/file", "fresh"):
        path = union.path / name
        path.touch()
        with path.open("r+b", buffering=0) as file:
            path.unlink()
            file.seek(0)
            file.write(b"still here")
            file.seek(0)
            assert file.read().startswith(b"still here")
            assert os.fstat(file.fileno()).st_nlink == 0
        assert not path.exists()


def test_mmap_shared_writes_through_and_private_does_not(union):
    path = union.path / "mapped"
    path.write_bytes(b"\0" * 8192)
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 8192) as shared:
            shared[4096:4101] = b"hello"
        with mmap.mmap(file.fileno(), 8192, flags=mmap.MAP_PRIVATE) as private:
            private[0:3] = b"not"
    assert path.read_bytes() == b"\0" * 4096 + b"hello" + b"\0" * 4091


def test_mapping_of_a_lower_file_sees_writes_after_copy_up(union):
    path = union.path / "big"
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
        assert len(mapping[:16]) == 16
        os.pwrite(file.fileno(), b"changed", 0)
        assert mapping[:7] == b"changed"


def test_times_modes_and_sizes_are_kept(union):
    path = union.path / "directory" / "file"
    os.utime(path, ns=(-1_500_000_000, 4_102_444_800_123_456_789))
    path.chmod(0o4711)
    st = path.stat()
    assert (st.st_atime_ns, st.st_mtime_ns) == (-1_500_000_000, 4_102_444_800_123_456_789)
    assert stat.S_IMODE(st.st_mode) == 0o4711
    assert st.st_size == 11


def test_write_clears_set_user_id(union):
    path = union.path / "suid"
    path.write_text("x")
    path.chmod(0o6755)
    with path.open("a") as file:
        file.write("y")
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_chown_to_the_same_owner_clears_set_user_id(union):
    path, fifo = union.path / "suid", union.path / "fifo"
    path.write_text("x")
    os.mkfifo(fifo)
    for file in (path, fifo):
        for owner in ((-1, -1), (os.getuid(), -1)):
            file.chmod(0o6755)
            os.chown(file, *owner)
            assert stat.S_IMODE(file.stat().st_mode) == 0o755, (file, owner)


def test_chown_to_the_same_owner_leaves_a_directory_its_set_group_id(union):
    (union.path / "shared").mkdir()
    for owner in ((-1, -1), (os.getuid(), -1)):
        (union.path / "shared").chmod(0o2755)
        os.chown(union.path / "shared", *owner)
        assert stat.S_IMODE((union.path / "shared").stat().st_mode) == 0o2755, owner


def test_directory_times_change_with_its_names(union):
    directory = union.path / "directory"
    os.utime(directory, ns=(0, 0))
    (directory / "new").touch()
    assert directory.stat().st_mtime_ns > 0
    os.utime(directory, ns=(0, 0))
    (directory / "new").unlink()
    assert directory.stat().st_mtime_ns > 0


def test_extended_attributes(union):
    path = union.path / "directory" / "file"
    os.setxattr(path, "user.colour", b"red")
    assert os.getxattr(path, "user.colour") == b"red"
    assert os.listxattr(path) == ["user.colour"]
    with pytest.raises(FileExistsError):
        os.setxattr(path, "user.colour", b"blue", os.XATTR_CREATE)
    os.removexattr(path, "user.colour")
    with pytest.raises(OSError, match="No data") as raised:
        os.getxattr(path, "user.colour")
    assert raised.value.errno == errno.ENODATA
    assert os.listxattr(path) == []


def test_names_of_any_bytes_and_255_of_them(union):
    root = os.fsencode(union.path)
    for name in (b"\xff\xfe", b"new\nline", b"x" * 255):
        with open(root + b"/" + name, "wb") as file:
            file.write(name)
        assert name in os.listdir(root)
    with pytest.raises(OSError, match="too long"):
        os.stat(root + b"/" + b"x" * 256)


def test_listing_has_dots_and_every_name_once(union):
    names = os.listdir(union.path / "many")
    assert sorted(names) == [f"{number:04}" for number in range(500)]
    libc = ctypes.CDLL(None)
    libc.opendir.restype = ctypes.c_void_p
    libc.readdir.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(libc.opendir(os.fsencode(union.path / "many")))
    seen = []
    while entry := libc.readdir(handle):
        seen.append(ctypes.string_at(entry + 19))
    libc.closedir(handle)
    assert seen.count(b".") == seen.count(b"..") == 1
    assert len(seen) == 502


def test_listing_goes_on_while_its_names_are_deleted(union):
    directory = union.path / "many"
    seen = []
    with os.scandir(directory) as entries:
        for position, entry in enumerate(entries):
            seen.append(entry.name)
            if position % 2:
                os.unlink(directory / entry.name)
    assert sorted(seen) == [f"{number:04}" for number in range(500)]
    assert len(os.listdir(directory)) == 250
    for name in os.listdir(directory):
        os.unlink(directory / name)
    directory.rmdir()


@pytest.mark.parametrize("how", ["replace", "away and back", "new name", "remove and make"])
def test_listing_ends_though_each_name_that_came_is_remade(union, how):
    directory = union.path / "d"
    directory.mkdir()
    for number in range(300):
        (directory / f"{number}").touch()
    stays = {f"stays{number}" for number in range(300)}
    for name in stays:
        (directory / name).touch()
    found = []
    for entry in itertools.islice(os.scandir(directory), 2000):
        found.append(entry.name)
        if entry.name in stays:
            continue
        if how == "replace":
            (union.path / "t").touch()
            os.replace(union.path / "t", entry.path)
        elif how == "away and back":
            os.rename(entry.path, union.path / "t")
            os.rename(union.path / "t", entry.path)
        elif how == "new name":
            os.rename(entry.path, entry.path + "x")
        else:
            os.unlink(entry.path)
            Path(entry.path).touch()
    assert len(found) == len(set(found)) <= 600
    assert stays <= set(found)
    if how != "new name":
        assert len(found) == 600


def test_special_files(union):
    os.mkfifo(union.path / "fifo", 0o640)
    st = (union.path / "fifo").stat()
    assert stat.S_ISFIFO(st.st_mode)
    reader = os.open(union.path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(union.path / "fifo", os.O_WRONLY)
    os.write(writer, b"through")
    assert os.read(reader, 10) == b"through"
    os.close(reader)
    os.close(writer)


def test_many_clients_at_once_lose_nothing(union):
    failures = []

    def client(number: int) -> None:
        try:
            mine = union.path / f"client-{number}"
            mine.mkdir()
            for step in range(40):
                path = mine / str(step)
                path.write_text(f"{number}-{step}")
                assert path.read_text() == f"{number}-{step}"
                path.rename(mine / f"{step}.done")
            assert len(os.listdir(mine)) == 40
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(list(union.path.glob("client-*/*.done"))) == 320


def test_statfs_is_that_of_the_upper(union):
    shown, real = os.statvfs(union.path), os.statvfs(union.upper)
    assert (shown.f_blocks, shown.f_bsize, shown.f_namemax) == (
        (real.f_blocks, real.f_bsize, real.f_namemax)
    )


def test_ioctl_is_refused_as_on_any_file(union):
    import fcntl

    with (union.path / "directory" / "file").open() as file:
        with pytest.raises(OSError, match="Inappropriate") as raised:
            fcntl.ioctl(file, 0x5401)
        assert raised.value.errno == errno.ENOTTY


def test_fsync_of_file_and_directory_reaches_the_server(union):
    """Were they answered ENOSYS, the kernel would report success on its own (fuse_fsync)."""

    def counted(operation: str) -> int:
        document = json.loads(os.getxattr(union.path, "user.rootless.stats"))
        return sum(
            each["requests"] for each in document["operations"] if each["operation"] == operation
        )

    path = union.path / "synced"
    with path.open("w") as file:
        for number in range(3):
            file.write("x")
            file.flush()
            os.fsync(file.fileno())
            assert counted("fsync") == 2 * number + 1
            os.fdatasync(file.fileno())
            assert counted("fsync") == 2 * number + 2
    assert (union.upper / "synced").read_text() == "xxx"
    directory = os.open(union.path, os.O_RDONLY)
    try:
        for number in range(3):
            os.fsync(directory)
            assert counted("fsyncdir") == number + 1
    finally:
        os.close(directory)


def test_unnamed_file_gets_a_name_by_link(union, device_only):
    fd = os.open(union.path, os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        os.write(fd, b"unnamed")
        os.link(f"/proc/self/fd/{fd}", union.path / "named", src_dir_fd=fd)
    finally:
        os.close(fd)
    assert (union.path / "named").read_bytes() == b"unnamed"


def test_fallocate_and_holes(union, device_only):
    path = union.path / "sparse"
    with path.open("w+b") as file:
        fd = file.fileno()
        os.posix_fallocate(fd, 0, 4096)
        assert os.fstat(fd).st_size == 4096
        os.pwrite(fd, b"x", 1 << 20)
        assert os.lseek(fd, 8192, os.SEEK_DATA) == 1 << 20
        os.ftruncate(fd, 2 << 20)
        assert os.lseek(fd, 8192, os.SEEK_DATA) == 1 << 20
        assert os.lseek(fd, 1 << 20, os.SEEK_HOLE) == (1 << 20) + 4096
        with pytest.raises(OSError, match="No such device or address"):
            os.lseek(fd, 3 << 20, os.SEEK_DATA)


def test_copy_file_range_copies(union, device_only):
    with (union.path / "big").open("rb") as source, (union.path / "copy").open("wb") as target:
        size = os.fstat(source.fileno()).st_size
        copied = 0
        while copied < size:
            copied += os.copy_file_range(source.fileno(), target.fileno(), size - copied)
    assert (union.path / "copy").read_bytes() == (union.lower / "big").read_bytes()


def test_ids_are_those_of_the_namespace(union):
    def body():
        os.chmod(".", 0o755)
        with open("made inside", "w") as file:
            st = os.fstat(file.fileno())
        os.chown("made inside", 0, 0)
        return st.st_uid, st.st_gid, os.stat("directory/file").st_uid

    assert union.mounted.inside(body) == (0, 0, 0)
