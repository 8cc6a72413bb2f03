"""What people try: the host keeps what it had; applied it is what the command does directly; undone it is as before."""

import os
import shutil
import subprocess

import pytest

from tests.support.applied import copy_tree, differences

pytestmark = pytest.mark.needs("userns", "fuse")

GIT = "git -c user.name=a -c user.email=a@b -c init.defaultBranch=main"
SETUP = f"""
set -e
mkdir -p work/src/deep work/prefix/lib; cd work
for i in 1 2 3; do echo "old $i" > src/f$i; ln src/f$i src/deep/link$i; done
printf 'old crlf\\r\\n' > src/crlf; ln -s ../f1 src/deep/symbolic
printf 'install:\\n\\tinstall -D -m 755 src/f1 prefix/bin/tool\\n\\tln -sf tool prefix/bin/alias\\n' > Makefile
echo keep > prefix/lib/kept; echo old > prefix/lib/replaced
python3 -c '
import sqlite3
with sqlite3.connect("data.db") as database:
    database.execute("create table t (a)")
    database.executemany("insert into t values (?)", [(n,) for n in range(1000)])
'
mkdir repository; cd repository; {GIT} init -q
echo one > file; {GIT} add file; {GIT} commit -qm one; {GIT} checkout -qb other
echo other > file; {GIT} commit -qam other; {GIT} checkout -q main; echo main > file; {GIT} commit -qam main
"""
MIGRATION = """python3 -c '
import sqlite3
with sqlite3.connect("data.db") as database:
    database.execute("alter table t add column b default 7")
    database.execute("delete from t where a < 500")
    database.execute("create index i on t (b)")
'"""
BREAKING = "mkdir -p prefix/bin; echo tool > prefix/bin/tool; rm -r prefix/lib; chmod 700 src; rm Makefile; exit 3"
COMMANDS = {
    "an install script that fails": BREAKING,
    "make install": "make -s install",
    "a migration": MIGRATION,
    "sed over a tree": "find src -type f | xargs sed -i s/old/new/",
    "the root of the tree is renamed": "cd ..; mv work elsewhere; echo more > elsewhere/src/f1",
    "directories are swapped": "mv src t; mv prefix src; mv t prefix; rm -r prefix/deep; echo x > src/lib/kept",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    subprocess.run(["sh", "-c", SETUP], cwd=tmp_path, check=True)
    copy_tree(bytes(tmp_path / "work"), bytes(tmp_path / "start/work"))
    copy_tree(bytes(tmp_path / "work"), bytes(tmp_path / "direct/work"))
    (tmp_path / "tried").mkdir()
    (tmp_path / "work").rename(tmp_path / "tried/work")
    monkeypatch.chdir(tmp_path / "tried/work")
    return tmp_path


def compared(place, one, other):
    """What differs, numbers of links apart: what was replaced is kept by a further name until the container is dropped."""
    return [
        (path, mine, theirs)
        for path, mine, theirs in differences(bytes(place / one), bytes(place / other))
        if not mine or not theirs or (mine[0], *mine[2:]) != (theirs[0], *theirs[2:])
    ]


def same(place, one, other):
    return compared(place, one, other) == []


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_applied_it_is_what_was_run_directly_and_undone_it_is_as_before(rootless, place, command):
    tried = rootless("try", "--keep", "--name", "one", "sh", "-c", command)
    assert same(place, "tried", "start")
    done = subprocess.run(["sh", "-c", command], cwd=place / "direct/work", check=False)
    assert tried.status == done.returncode
    rootless("apply", "one").ok()
    assert [found[0] for found in compared(place, "tried", "direct")] == []
    rootless("apply", "--undo", "one").ok()
    assert same(place, "tried", "start")


def test_part_of_an_install_script_that_breaks_things_is_applied(rootless, place):
    rootless("try", "--keep", "--name", "one", "sh", "-c", BREAKING)
    rootless("apply", "one", "prefix/bin").ok()
    work = place / "tried/work"
    assert (work / "prefix/bin/tool").read_text() == "tool\n"
    shutil.rmtree(work / "prefix/bin")
    assert same(place, "tried", "start")


def test_rebase_gone_wrong_is_dropped_and_the_repository_is_as_before(rootless, place):
    os.chdir("repository")
    tried = rootless("try", "--keep", "--name", "one", *GIT.split(), "rebase", "other")
    assert tried.status == 1
    assert "file\n" in rootless("changes", "--name-only", "one", "file").ok().stdout
    rootless("drop", "one").ok()
    assert same(place, "tried", "start")


@pytest.mark.parametrize("program", ["git apply --unsafe-paths -p1", "patch -s -p1 --binary"])
def test_patch_of_awkward_texts_makes_them(rootless, tmp_path, monkeypatch, program):
    (tmp_path / "host").mkdir()
    monkeypatch.chdir(tmp_path / "host")
    prepare = r"""
printf 'a\r\nb\r\nc\r\n' > crlf; printf 'one\ntwo' > unended; printf 'one\ntwo\n' > ended
echo q > 'quo"te'\''s'; echo b > 'a b'; echo t > "$(printf 'tab\there')"; echo run > run; echo u > ümlaut; : > empty
"""
    change = r"""
sed -i 's/^b/B/' crlf; printf 'one\n2' > unended; printf 'one\n2' > ended
echo Q > 'quo"te'\''s'; mv 'a b' 'c d'; echo T > "$(printf 'tab\there')"; chmod +x run; echo U > ümlaut
rm empty; : > 'new empty'; printf '\\ no newline at end\n--- a/x\n+++ b/x\n' > looks
"""
    subprocess.run(["sh", "-c", prepare], check=True)
    copy_tree(bytes(tmp_path / "host"), bytes(tmp_path / "direct"))
    target = tmp_path / "patched" / str(tmp_path / "host").lstrip("/")
    copy_tree(bytes(tmp_path / "host"), bytes(target))
    subprocess.run(["sh", "-c", change], cwd=tmp_path / "direct", check=True)
    rootless("try", "--keep", "--name", "one", "sh", "-c", change).ok()
    patch = rootless("changes", "--diff", "one", ".").ok().stdout
    subprocess.run(program.split(), input=patch.encode(), cwd=tmp_path / "patched", check=True)
    assert differences(bytes(target), bytes(tmp_path / "direct")) == []
