"""`apply`: the changes of a command that was tried, made on the host's files; and taken back."""

import fcntl
import os
import shutil
import stat
import subprocess

import pytest

from tests.support.applied import copy_tree, differences
from tests.support.shell_on_terminal import type_into_shell

pytestmark = pytest.mark.needs("userns", "fuse")

SCRIPT = r"""
set -e
sed -i s/old/new/ file; rm gone; mv dir moved; echo more >> moved/inner
echo made > made; ln -s made link; chmod 700 script; mkdir -p a/b; echo c > a/b/c
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A work tree, and the working directory of the commands; `start` beside it is a copy."""
    place = tmp_path / "work"
    (place / "dir").mkdir(parents=True)
    for name in ("file", "gone", "dir/inner", "script"):
        (place / name).write_text("old\n")
    copy_tree(os.fsencode(place), os.fsencode(tmp_path / "start"))
    monkeypatch.chdir(place)
    return place


def tried(rootless, script, *options):
    rootless("try", "--name", "one", *options, "--", "sh", "-c", script)


def test_everything_applied_is_what_the_command_did(rootless, work):
    tried(rootless, SCRIPT)
    result = rootless("apply", "one").ok()
    assert result.stderr == ""
    assert (work / "file").read_text() == "new\n"
    assert (work / "moved/inner").read_text() == "old\nmore\n"
    assert (work / "a/b/c").read_text() == "c\n"
    assert os.readlink(work / "link") == "made"
    assert stat.S_IMODE((work / "script").stat().st_mode) == 0o700
    assert not (work / "gone").exists()
    assert not (work / "dir").exists()
    assert rootless("changes", "one").ok().stdout == ""


def test_undo_takes_everything_back(rootless, work, tmp_path):
    tried(rootless, SCRIPT)
    rootless("apply", "one").ok()
    rootless("apply", "--undo", "one").ok()
    start = os.fsencode(tmp_path / "start")
    assert differences(os.fsencode(work), start, times=False) == []
    assert rootless("apply", "--undo", "one").status == 1


@pytest.mark.parametrize("times", [1, 2])
def test_what_was_undone_is_applied_again(rootless, work, times):
    os.link(work / "file", work / "linked")
    (work / "dir/below").mkdir()
    (work / "dir/below/one").write_text("one\n")
    os.symlink("file", work / "link-gone")
    tried(
        rootless,
        SCRIPT + "cat made >> script; echo x > moved/below/one; mv script run; rm link-gone; "
        "chmod 700 moved/below; echo more >> linked",
    )
    first = rootless("apply", "one").ok().stdout
    for _ in range(times):
        rootless("apply", "--undo", "one").ok()
        assert rootless("apply", "one").ok().stdout == first
    assert (work / "moved/below/one").read_text() == "x\n"
    rootless("apply", "--undo", "one").ok()
    (work / "dir/below/one").write_text("mine\n")
    result = rootless("apply", "one")
    assert (result.status, result.stderr.count("conflict ")) == (1, 1)
    assert (work / "moved/below/one").read_text() == "mine\n"


def test_empty_path_is_not_all(rootless, work):
    tried(rootless, SCRIPT)
    result = rootless("apply", "one", "")
    assert (result.status, "a path cannot be empty" in result.stderr) == (1, True)
    assert (work / "gone").exists()


def test_undo_leaves_all_alone_if_something_has_changed_since(rootless, work):
    tried(rootless, SCRIPT)
    rootless("apply", "one").ok()
    (work / "file").write_text("edited\n")
    result = rootless("apply", "--undo", "one")
    assert (result.status, "has changed since it was applied" in result.stderr) == (1, True)
    assert (work / "file").read_text() == "edited\n"
    assert (work / "moved").is_dir()


def test_only_what_is_named_is_applied_with_the_directories_that_it_needs(rootless, work):
    tried(rootless, SCRIPT)
    assert rootless("apply", "one", "a/b/c", "file").ok().stdout.split() == [
        f"{work}/a", f"{work}/a/b", f"{work}/a/b/c", f"{work}/file"
    ]  # fmt: skip
    assert (work / "a/b/c").exists()
    assert (work / "gone").exists()
    assert f"{work}/made" in rootless("changes", "one").ok().stdout


def test_check_changes_nothing(rootless, work, tmp_path):
    tried(rootless, SCRIPT)
    rootless("apply", "--check", "one").ok()
    assert differences(os.fsencode(work), os.fsencode(tmp_path / "start"), times=True) == []


@pytest.mark.parametrize(
    ("script", "meanwhile", "reason"),
    [
        ("echo new > file", "echo mine > file", "has changed since"),
        ("rm file", "echo mine >> file", "has changed since"),
        ("echo new > file", "rm file", "is gone"),
        ("echo new > made", "echo mine > made", "has not seen"),
        ("rm -r dir", "echo mine > dir/mine", "has not seen"),
        ("mv dir moved", "mkdir moved", "has not seen"),
        ("mv dir moved", "mv dir mine", "is gone"),
        ("echo new > dir/inner", "rm -r dir; echo mine > dir", "has changed since"),
        ("chmod 700 file", "touch file", "has changed since"),
        ("mkdir made; echo x > made/x", "echo mine > made", "has not seen"),
    ],
)
def test_what_the_host_has_changed_too_is_a_conflict_and_left_alone(
    rootless, work, script, meanwhile, reason
):
    tried(rootless, f"{script}; echo other > other")
    os.system(meanwhile)
    result = rootless("apply", "one")
    assert result.status == 1
    assert "conflict " in result.stderr
    assert reason in result.stderr
    assert (work / "other").read_text() == "other\n"
    texts = [path.read_text() for path in work.rglob("*") if path.is_file()]
    assert ("mine\n" in "".join(texts)) is ("mine >" in meanwhile)


def test_theirs_decides_conflicts_for_the_container(rootless, work):
    tried(rootless, "echo new > file")
    (work / "file").write_text("mine\n")
    rootless("apply", "--theirs", "one").ok()
    assert (work / "file").read_text() == "new\n"
    rootless("apply", "--undo", "one").ok()
    assert (work / "file").read_text() == "mine\n"


def test_what_the_host_has_put_in_the_way_of_a_move_is_replaced_on_request(rootless, work):
    tried(rootless, "mv dir moved")
    (work / "moved").write_text("host\n")
    result = rootless("apply", "one")
    assert (result.status, (work / "moved").read_text()) == (1, "host\n")
    assert result.stderr == f"conflict {work}/moved: the command has not seen it\n"
    rootless("apply", "--force", "one").ok()
    assert (work / "moved/inner").read_text() == "old\n"
    rootless("apply", "--undo", "one").ok()
    assert (work / "moved").read_text() == "host\n"
    assert (work / "dir/inner").read_text() == "old\n"


def test_directory_that_the_host_has_removed_is_a_conflict_and_not_made_again(rootless, work):
    tried(rootless, "echo more >> dir/inner")
    shutil.rmtree(work / "dir")
    result = rootless("apply", "one")
    assert result.stderr.splitlines()[0] == f"conflict {work}/dir: it is gone"
    assert not (work / "dir").exists()
    rootless("apply", "--theirs", "one").ok()
    assert (work / "dir/inner").read_text() == "old\nmore\n"


@pytest.mark.parametrize("verb", ["changes", "changes --diff", "apply", "apply --check"])
@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("nowhere", ""),
        ("script", ""),
        ("dir/inner", "it was in {work}/dir, which was moved as a whole"),
        ("gone/deep", "it was in {work}/gone, which was deleted as a whole"),
    ],
)
def test_path_at_which_nothing_has_changed_is_an_error_and_nothing_is_done(
    rootless, work, verb, path, hint
):
    (work / "gone").unlink()
    (work / "gone").mkdir()
    (work / "gone/deep").write_text("x")
    tried(rootless, "mv dir moved; rm -r gone; echo new > file")
    verb, *options = verb.split()
    result = rootless(verb, *options, "one", "file", path)
    assert result.status == 1
    assert result.stderr.startswith(f"rootless: nothing has changed at or in {work}/{path}\n")
    assert hint.format(work=work) in result.stderr
    assert (work / "file").read_text() == "old\n"


@pytest.mark.parametrize(
    ("script", "changed"),
    [
        ("rmdir dir/secret", "dir/secret"),
        ("mv dir/secret public", "public"),
        ("mv dir public", "public"),
        ("rm -r dir", "dir"),
        ("mkdir dir/secret/new", "dir/secret/new"),
        ("echo x > x; mv x file", "file"),
    ],
)
def test_what_was_hidden_is_neither_moved_nor_removed_nor_replaced(
    rootless, work, tmp_path, script, changed
):
    (work / "dir/secret").mkdir()
    (work / "dir/secret/key").write_text("key\n")
    hidden = ("--hide", "dir/secret", "--hide", "file")
    rootless("try", "--keep", "--name", "one", *hidden, "sh", "-c", script).ok()
    result = rootless("apply", "--theirs", "one")
    reason = "it, or something in it, was hidden from the command"
    assert (result.status, result.stderr) == (1, f"refused {work}/{changed}: {reason}\n")
    assert (work / "dir/secret/key").read_text() == "key\n"
    assert (work / "file").read_text() == "old\n"
    assert not (work / "public").exists()


def test_link_on_the_way_is_refused(rootless, work, tmp_path):
    tried(rootless, "echo new > dir/inner; echo new > dir/made; echo other > other")
    outside = tmp_path / "outside"
    outside.mkdir()
    (work / "dir").rename(work / "away")
    (work / "dir").symlink_to(outside)
    result = rootless("apply", "one")
    assert result.status == 1
    assert list(outside.iterdir()) == []
    assert (work / "other").exists()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("cp /bin/true made; chmod 4755 made", "set-user-ID"),
        ("{python} -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"made\")'", "a socket"),
    ],
)
def test_what_a_user_should_not_make_is_refused_by_name(rootless, work, script, reason):
    tried(rootless, script.format(python="/usr/bin/python3") + "; echo other > other")
    result = rootless("apply", "one")
    assert result.status == 1
    assert result.stderr.startswith(f"refused {work}/made: ")
    assert reason in result.stderr
    assert not (work / "made").exists()
    assert (work / "other").exists()


def test_other_names_of_a_file_follow(rootless, work):
    os.link(work / "file", work / "name")
    tried(rootless, "echo new >> file")
    rootless("apply", "one").ok()
    assert (work / "name").read_text() == "old\nnew\n"
    assert (work / "name").stat().st_ino == (work / "file").stat().st_ino


@pytest.mark.parametrize(
    "script",
    [
        "echo new > file; ln file further",
        "echo new > made; ln made further; ln made dir/further",
        "chmod 700 file; rm name; ln gone further; chmod 600 further; mv gone new; echo x >> new",
        "rm -r full; mv dir full; echo x > full/new",
        "mv dir moved; ln moved/inner further; ln moved/inner moved/also",
        "mv dir moved; rm moved/inner; mkdir dir; echo other > dir/inner; echo x > moved/new",
        "mv dir moved; mkdir dir; mv moved/inner dir/inner; echo other > moved/inner; mv file dir/file",
    ],
)
def test_further_names_and_directories_that_take_the_place_of_others(
    rootless, work, tmp_path, script
):
    os.link(work / "file", work / "name")
    os.link(work / "gone", work / "other")
    (work / "full").mkdir()
    (work / "full/inner").write_text("in the way\n")
    for name in ("direct", "before"):
        copy_tree(os.fsencode(work), os.fsencode(tmp_path / name))
    subprocess.run(["sh", "-c", script], cwd=tmp_path / "direct", check=True)
    tried(rootless, script)
    rootless("apply", "one").ok()
    (directory,) = (rootless.data / "rootless/containers").glob("*/applies/1/backups")
    direct = os.fsencode(tmp_path / "direct")
    assert differences(os.fsencode(work), direct, str(directory)) == []
    if "mv" not in script:
        assert rootless("changes", "one").ok().stdout == ""
        assert rootless("apply", "one").ok().stdout == ""
    rootless("apply", "--undo", "one").ok()
    assert differences(os.fsencode(work), os.fsencode(tmp_path / "before"), times=False) == []


def test_second_apply_at_the_same_time_is_refused(rootless, work):
    tried(rootless, "echo new > file")
    rootless("apply", "--check", "one").ok()
    (lock,) = (rootless.data / "rootless/containers").glob("*/.apply.lock")
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another apply" in rootless("apply", "one").stderr
    assert (work / "file").read_text() == "old\n"


def test_hostile_names_are_applied_and_shown_escaped(rootless, work):
    tried(rootless, r"""printf x > "$(printf 'a\nb\033[31m')"; printf y > "$(printf '\377')" """)
    result = rootless("apply", "one").ok()
    assert f'"{work}/a\\nb\\033[31m"' in result.stdout
    assert min(os.listdir(os.fsencode(work))) == b"a\nb\033[31m"
    assert os.path.exists(os.fsencode(work) + b"/\xff")


def test_sparse_file_stays_sparse(rootless, work):
    tried(rootless, "truncate -s 1G sparse; printf x >> sparse")
    rootless("apply", "one").ok()
    status = (work / "sparse").stat()
    assert (status.st_size, status.st_blocks < 1000) == ((1 << 30) + 1, True)


def test_container_of_an_image_cannot_be_applied(rootless, work, busybox_image):
    rootless("import", busybox_image, "box").ok()
    rootless("run", "--name", "two", "box", "true").ok()
    result = rootless("apply", "two")
    assert (result.status, "not made of files of the host" in result.stderr) == (1, True)


def test_try_applies_at_its_end(rootless, work):
    assert rootless("try", "--apply", "sh", "-c", "echo new > file; exit 3").status == 3
    assert (work / "file").read_text() == "new\n"


def test_answer_on_the_terminal_applies(rootless, work):
    shown = type_into_shell(rootless, ["try", "sh", "-c", "echo new > file"], ["a"])
    assert "applied 1 change" in shown
    assert (work / "file").read_text() == "new\n"


def test_interactive_asks_for_each_change(rootless, work):
    tried(rootless, "echo new > file; rm gone; echo x > x")
    result = rootless("apply", "-i", "one", stdin=b"y\nn\ny\n").ok()
    assert result.stderr.count("apply?") == 3
    assert (work / "file").read_text() == "new\n"
    assert (work / "gone").exists()
    assert (work / "x").exists()


LINES = "".join(f"{number}\n" for number in range(20))


@pytest.mark.parametrize(
    "script", ["sed -i s/^3$/three/ text", "sed s/^3$/three/ text > x; cat x > text; rm x"]
)
def test_merge_takes_the_changes_of_both(rootless, work, script):
    (work / "text").write_text(LINES)
    tried(rootless, script)
    (work / "text").write_text(LINES.replace("15\n", "fifteen\n"))
    assert rootless("apply", "one").status == 1
    result = rootless("apply", "--merge", "one").ok()
    assert result.stderr == ""
    merged = LINES.replace("15\n", "fifteen\n").replace("\n3\n", "\nthree\n")
    assert (work / "text").read_text() == merged
    rootless("apply", "--undo", "one").ok()
    assert (work / "text").read_text() == LINES.replace("15\n", "fifteen\n")


@pytest.mark.parametrize("side", ["host", "container"])
def test_text_that_has_become_too_large_to_merge_stays(rootless, work, side):
    (work / "text").write_text(LINES)
    long_line = "head -c 17000000 /dev/zero | tr '\\0' x >> text"
    tried(rootless, "sed -i s/^3$/three/ text" + ("; " + long_line) * (side == "container"))
    host = LINES.replace("15\n", "fifteen\n") + "x" * 17_000_000 * (side == "host")
    (work / "text").write_text(host)
    assert rootless("apply", "--merge", "one").status == 1
    assert (work / "text").read_text() == host


def test_merge_marks_lines_that_both_have_changed_and_tells(rootless, work):
    tried(rootless, "echo theirs > file")
    (work / "file").write_text("mine\n")
    result = rootless("apply", "--merge", "one")
    assert result.status == 1
    assert "stand between marks" in result.stderr
    marked = "<<<<<<< host\nmine\n=======\ntheirs\n>>>>>>> container\n"
    assert (work / "file").read_text() == marked
