"""Workloads of whole programs on a mounted tree. A workload is left out if its program is not installed."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from benchmarks.workloads import Call, Workload, require, run

_MODULES = 300
_PACKAGE_FILES = 600
_DBENCH_SECONDS = 5


def make_inputs(directory: Path) -> None:
    """Make the inputs: a package to import and a repository in the lower, archives to install beside it."""
    lower = directory / "lower"
    package = lower / "library"
    package.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"def f{n}(a, b={n}):\n    return [a, b, {n}]\n\n" for n in range(20))
    for number in range(_MODULES):
        (package / f"m{number}.py").write_text(lines)
    names = "".join(f"from library import m{number}\n" for number in range(_MODULES))
    (package / "__init__.py").write_text(names)
    run(sys.executable, "-m", "compileall", "-q", package)
    _make_wheel(directory / "made-1.0-py3-none-any.whl", lines)
    _make_module(directory, lines)
    if shutil.which("git"):
        repository = lower / "repository"
        shutil.copytree(lower / "src", repository)
        git = ("git", "-C", repository, "-c", "user.name=a", "-c", "user.email=a@example.org")
        run(*git, "init", "-q")
        run(*git, "add", ".")
        run(*git, "commit", "-q", "-m", "all")


def _make_wheel(path: Path, text: str) -> None:
    with zipfile.ZipFile(path, "w") as wheel:
        names = ["made/__init__.py", *[f"made/m{number}.py" for number in range(_PACKAGE_FILES)]]
        for name in names:
            wheel.writestr(name, text)
        about = "made-1.0.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: made\nVersion: 1.0\n")
        tag = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{about}/WHEEL", tag)
        record = "".join(f"{name},,\n" for name in names)
        wheel.writestr(f"{about}/RECORD", record)


def _make_module(directory: Path, text: str) -> None:
    """A package for Node.js, as `npm pack` makes it."""
    package = directory / "node/package"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "made", "version": "1.0.0"}')
    for number in range(_PACKAGE_FILES):
        (package / f"m{number}.js").write_text(text)
    run("tar", "-C", package.parent, "-czf", directory / "made-1.0.0.tgz", "package")


def import_package(root: Path, _: Path) -> None:
    code = "import sys, library; print(len([m for m in sys.modules if m.startswith('library.')]))"
    loaded = run("env", f"PYTHONPATH={root}", "python3", "-c", code)
    require(int(loaded), _MODULES, "modules imported")


def git_status(root: Path, _: Path) -> None:
    repository = root / "repository"
    run("git", "-C", repository, "-c", "safe.directory=*", "status", "--short")
    require(len(list((repository / ".git").iterdir())), 5, "files of git")


def pip_install(root: Path, inputs: Path) -> None:
    target = root / "out/site"
    wheel = next(inputs.glob("*.whl"))
    flags = ("--quiet", "--no-index", "--no-deps", "--no-cache-dir", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "install", *flags, "--target", target, wheel)
    require(len(list((target / "made").glob("*.py"))), _PACKAGE_FILES, "files installed")


def npm_install(root: Path, inputs: Path) -> None:
    target = root / "out/node"
    target.mkdir()
    (target / "package.json").write_text('{"name": "user", "version": "1.0.0"}')
    flags = ("--silent", "--offline", "--no-audit", "--no-fund", f"--cache={root}/out/npm-cache")
    archive = next(inputs.glob("*.tgz"))
    run("npm", "install", *flags, "--prefix", target, archive)
    require(len(list((target / "node_modules/made").glob("*.js"))), _PACKAGE_FILES, "files")


def make_objects(root: Path, _: Path) -> None:
    place = root / "out/build"
    place.mkdir()
    names = [f"unit{number}" for number in range(24)]
    for name in names:
        source = (
            f'#include <stdio.h>\n#include <stdlib.h>\nint {name}(void) {{ return puts("x"); }}\n'
        )
        (place / f"{name}.c").write_text(source)
    objects = " ".join(f"{name}.o" for name in names)
    (place / "Makefile").write_text(f"all: {objects}\n\tld -r -o all.o {objects}\n")
    run("make", "-s", "-j2", "-C", place)
    require((place / "all.o").stat().st_size, 1, "bytes linked")


def postmark(root: Path, _: Path) -> None:
    place = root / "out/postmark"
    place.mkdir()
    script = f"set location {place}\nset number 500\nset transactions 2000\nrun\nquit\n"
    done = subprocess.run(["postmark"], input=script, text=True, check=True, capture_output=True)
    require(done.stdout.count("transactions"), 1, "reports")


def dbench(root: Path, _: Path) -> float:
    """It runs for a time and prints its throughput. The sample is the time of a thousand megabytes."""
    place = root / "out/dbench"
    place.mkdir()
    printed = run("dbench", "-D", place, "-t", str(_DBENCH_SECONDS), "2").decode()
    found = re.search(r"Throughput ([0-9.]+) MB/sec", printed)
    if found is None or not float(found[1]):
        raise RuntimeError(f"dbench printed {printed.strip()[-200:]}")
    return 1000 / float(found[1])


def bonnie(root: Path, _: Path) -> None:
    place = root / "out/bonnie"
    place.mkdir()
    user = ("-u", "root") if os.geteuid() == 0 else ()
    printed = run("bonnie++", "-q", "-d", place, "-s", "32", "-r", "16", "-n", "0", *user)
    require(printed.count(b","), 20, "figures")


def pgbench(root: Path, _: Path) -> None:
    """Transactions of a database that syncs each of them. PostgreSQL refuses to run as root, so it gets a user namespace with
    another id."""
    programs = Path(next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin")))))
    place = root / "out/postgres"
    script = f"""set -eu
cd {root}/out
{programs}/initdb -D {place} -A trust -U bench >/dev/null
{programs}/pg_ctl -s -w -D {place} -l {place}.log \
    -o "-k {place} -c listen_addresses= -c shared_buffers=16MB" start
trap '{programs}/pg_ctl -s -w -D {place} stop' EXIT
{programs}/pgbench -h {place} -U bench -i -q -s 1 postgres 2>/dev/null
{programs}/pgbench -h {place} -U bench -c 2 -t 100 -n postgres
"""
    (root / "out/run.sh").write_text(script)
    printed = run("unshare", "--user", "--map-user=1", "--map-group=1", "sh", root / "out/run.sh")
    require(printed.count(b"200/200"), 1, "runs of 200 transactions")


def fio(kind: str, block: str) -> Call:
    """A job of fio(1), 32 MiB through pread(2) or pwrite(2), synced at the end. The sample is the time of the job itself."""

    def call(root: Path, _: Path) -> float:
        place = root / "out/fio"
        place.mkdir(exist_ok=True)
        job = (f"--rw={kind}", f"--bs={block}", "--size=32m", "--ioengine=psync", "--end_fsync=1")
        where = (f"--directory={place}", "--name=job", "--output-format=json", "--randrepeat=1")
        done = json.loads(run("fio", *where, *job))["jobs"][0]
        side = done["read" if "read" in kind else "write"]
        require(side["io_kbytes"], 32 << 10, "KiB transferred")
        return float(done["job_runtime"]) / 1000

    return call


APPLICATIONS = (
    Workload("python import of 300 modules", import_package, program="python3"),
    Workload("git status", git_status, program="git"),
    Workload("pip install", pip_install, again=False),
    Workload("npm install", npm_install, again=False, program="npm"),
    Workload("make -j2", make_objects, again=False, program="make"),
    Workload("postmark", postmark, again=False, program="postmark"),
    Workload("dbench, 1,000 MB", dbench, again=False, program="dbench"),
    Workload("bonnie++", bonnie, again=False, program="bonnie++"),
    Workload("pgbench, 200 transactions", pgbench, again=False, program="pgbench"),
    Workload("fio, sequential reads of 64 KiB", fio("read", "64k"), program="fio"),
    Workload("fio, random reads of 4 KiB", fio("randread", "4k"), program="fio"),
    Workload("fio, sequential writes of 64 KiB", fio("write", "64k"), program="fio"),
    Workload("fio, random writes of 4 KiB", fio("randwrite", "4k"), program="fio"),
)
