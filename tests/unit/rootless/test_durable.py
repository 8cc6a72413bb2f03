"""Files are replaced whole, locks exclude and die with their holder, trees of any mode go away."""

import errno
import os
import subprocess
import sys

import pytest

from rootless.durable import acquire_lock, locked, remove_tree, replace_file, write_atomically


def test_write_atomically_over_a_file_replaces_it_and_leaves_no_temporary(tmp_path):
    path = tmp_path / "document.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["document.json"]


def test_write_atomically_that_cannot_rename_keeps_nothing_behind(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "taken", b"data")
    assert os.listdir(tmp_path) == ["taken"]


def current_umask():
    mask = os.umask(0o22)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("before", [None, b"old"])
def test_file_that_is_replaced_has_no_name_until_it_is_complete(tmp_path, before):
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)

    def write(fd):
        os.write(fd, b"new")
        assert os.listdir(tmp_path) == ([] if before is None else ["file"])

    replace_file(path, write)
    assert (os.listdir(tmp_path), path.read_bytes()) == (["file"], b"new")
    assert path.stat().st_mode & 0o777 == 0o644 & ~current_umask()


def test_name_that_a_killed_replacement_has_left_is_taken_by_the_next(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    killed = (
        "import os, sys; from rootless.durable import replace_file; os.rename = lambda *_: os._exit(9); "
        "replace_file(sys.argv[1], lambda fd: os.write(fd, b'killed'))"
    )
    assert subprocess.run([sys.executable, "-c", killed, path], check=False).returncode == 9
    assert len(os.listdir(tmp_path)) == 2
    replace_file(path, lambda fd: os.write(fd, b"new"))
    assert (os.listdir(tmp_path), path.read_bytes()) == (["file"], b"new")


def test_file_whose_replacement_fails_stays(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(fd):
        os.write(fd, b"new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(path, fail)
    assert (os.listdir(tmp_path), path.read_bytes()) == (["file"], b"old")


def test_lock_that_is_held_is_refused_without_waiting(tmp_path):
    held = acquire_lock(tmp_path / "lock")
    assert held is not None
    assert acquire_lock(tmp_path / "lock", wait=False) is None
    held.release()
    again = acquire_lock(tmp_path / "lock", wait=False)
    assert again is not None
    again.release()


def test_shared_locks_coexist_and_keep_an_exclusive_one_out(tmp_path):
    first = acquire_lock(tmp_path / "lock", shared=True)
    second = acquire_lock(tmp_path / "lock", shared=True, wait=False)
    assert first is not None
    assert second is not None
    assert acquire_lock(tmp_path / "lock", wait=False) is None
    first.release()
    second.release()


def test_lock_whose_file_another_machine_has_removed_is_taken_again(tmp_path, monkeypatch):
    """On NFS its descriptor is stale then."""
    fstat, asked = os.fstat, []

    def stale_at_first(fd: int) -> os.stat_result:
        asked.append(fd)
        if len(asked) == 1:
            os.unlink(tmp_path / "lock")
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return fstat(fd)

    monkeypatch.setattr(os, "fstat", stale_at_first)
    with locked(tmp_path / "lock"):
        assert acquire_lock(tmp_path / "lock", wait=False) is None


def test_lock_of_a_killed_process_is_free(tmp_path):
    program = (
        "import sys,time; from pathlib import Path; from rootless.durable import acquire_lock;"
        "lock=acquire_lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child, child.stdout:
        assert child.stdout.readline() == "held\n"
        assert acquire_lock(tmp_path / "lock", wait=False) is None
        child.kill()
        child.wait(120)
    with locked(tmp_path / "lock"):
        pass


def test_remove_tree_of_directories_without_permissions_removes_them(tmp_path):
    tree = tmp_path / "tree"
    (tree / "closed" / "inner").mkdir(parents=True)
    (tree / "closed" / "inner" / "file").write_text("x")
    (tree / "closed" / "inner").chmod(0)
    (tree / "closed").chmod(0)
    remove_tree(tree)
    assert os.listdir(tmp_path) == []
    remove_tree(tree)
