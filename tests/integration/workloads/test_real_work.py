"""Work that people do, each in a container on the union, and its result checked.

On the live host's root file system as the lower: its compilers and interpreters, and a copy-on-write layer over them.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.command import Result
from tests.support.rootless import Rootless

pytestmark = [pytest.mark.needs("userns", "fuse"), pytest.mark.slow]

GIT = """
set -e
export HOME=/srv GIT_CONFIG_NOSYSTEM=1
git config --global user.email tester@example.org
git config --global user.name Tester
git config --global gc.auto 0
mkdir -p /srv/origin && cd /srv/origin && git init -q -b main
cp -r "$1"/json "$1"/email "$1"/asyncio "$1"/unittest .
git add . && git commit -q -m first
for number in $(seq 20); do echo "$number" > "json/new$number" && git add . && git commit -q -m "$number"; done
git mv email renamed && git commit -q -m renamed
git clone -q --no-local /srv/origin /srv/clone && cd /srv/clone
git checkout -q HEAD~10 && test ! -e json/new11 && test -d email
git checkout -q main && test -e json/new20 && test -d renamed
git gc -q --aggressive --prune=now
git fsck --strict
git status --porcelain
diff -r --exclude=.git /srv/origin /srv/clone && echo same
"""

SQLITE = """
import multiprocessing, sqlite3, sys
def write(writer):
    connection = sqlite3.connect("/srv/work.db", timeout=60, isolation_level=None)
    for number in range(100):
        connection.execute("insert into t values (?, ?)", (writer, number))
    connection.close()
def main():
    connection = sqlite3.connect("/srv/work.db", timeout=60, isolation_level=None)
    mode, = connection.execute("pragma journal_mode=wal").fetchone()
    connection.execute("create table t (writer integer, number integer)")
    with multiprocessing.Pool(4) as pool:
        pool.map(write, range(4))
    count, = connection.execute("select count(distinct writer * 1000 + number) from t").fetchone()
    check, = connection.execute("pragma integrity_check").fetchone()
    print(mode, count, check)
if __name__ == "__main__":
    main()
"""

MAKE = r"""
set -e
mkdir /srv/project && cd /srv/project
for number in $(seq 60); do
    echo "int part$number(int x) { return x + $number; }" > part$number.c
    echo "int part$number(int);" >> parts.h
done
{
    printf '%s\n' '#include <stdio.h>' '#include "parts.h"' 'int main(void) { int x = 0;'
    for number in $(seq 60); do echo "x = part$number(x);"; done
    printf '%s\n' 'printf("%d\n", x); return 0; }'
} > main.c
cat > Makefile <<'END'
.RECIPEPREFIX = >
objects := $(patsubst %.c,%.o,$(wildcard *.c))
program: $(objects)
> gcc -o $@ $^
%.o: %.c parts.h
> gcc -O1 -c -o $@ $<
END
make -s -j2
./program
make -s -j2 --question && echo nothing to do
touch parts.h && make -s -j2 && ./program
"""


def on_the_host(rootless: Rootless, *command: str, volume: Path | None = None) -> Result:
    options = ["-v", f"{volume}:/mnt:ro"] if volume else []
    return rootless(
        "run", "--rm", "--network", "none", *options, "--rootfs", "/", *command, timeout=300
    )


@pytest.mark.needs("git")
def test_git_clone_checkout_and_gc_leave_a_sound_repository(rootless: Rootless) -> None:
    library = f"/usr/lib/python3.{sys.version_info.minor}"
    result = on_the_host(rootless, "sh", "-c", GIT, "sh", library).ok()
    assert result.stdout.split() == ["same"], result


def test_sqlite_with_four_writers_in_wal_mode_loses_nothing(
    rootless: Rootless, tmp_path: Path
) -> None:
    (tmp_path / "work.py").write_text(SQLITE)
    result = on_the_host(rootless, "/usr/bin/python3", "/mnt/work.py", volume=tmp_path).ok()
    assert result.stdout.split() == ["wal", "400", "ok"]


@pytest.mark.needs("gcc")
def test_parallel_make_of_a_c_program_builds_it_once(rootless: Rootless) -> None:
    result = on_the_host(rootless, "sh", "-c", MAKE).ok()
    assert result.stdout.split("\n") == ["1830", "nothing to do", "1830", ""]


def test_pip_installs_a_wheel_into_a_virtual_environment(
    rootless: Rootless, tmp_path: Path
) -> None:
    metadata = "Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n"
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(tmp_path / "sample-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("sample/__init__.py", "answer = 42\n")
        archive.writestr("sample-1.0.dist-info/METADATA", metadata)
        archive.writestr("sample-1.0.dist-info/WHEEL", wheel)
        archive.writestr("sample-1.0.dist-info/RECORD", "")
    script = (
        "/usr/bin/python3 -m venv /srv/venv"
        " && /srv/venv/bin/pip install -q --disable-pip-version-check --no-index /mnt/sample-1.0-py3-none-any.whl"
        ' && /srv/venv/bin/python -c "import sample; print(sample.answer)"'
        " && /srv/venv/bin/pip uninstall -q -y sample && ls /srv/venv/lib/python3*/site-packages | grep -c sample"
    )
    result = on_the_host(rootless, "sh", "-c", script, volume=tmp_path)
    assert result.stdout.split() == ["42", "0"], result


def test_work_in_the_container_leaves_the_host_as_it_was(rootless: Rootless) -> None:
    on_the_host(
        rootless, "sh", "-c", "touch /srv/left-behind && rm -rf /etc/apt && echo x >> /etc/passwd"
    ).ok()
    assert not Path("/srv/left-behind").exists()
    assert Path("/etc/apt").is_dir()
    assert not Path("/etc/passwd").read_text().endswith("x\n")
