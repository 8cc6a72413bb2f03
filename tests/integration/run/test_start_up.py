"""What a start does not need is not imported before the container runs."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("userns", "fuse")

# Each costs more than ten milliseconds, or drags in what does.
NEVER = {
    "argparse",
    "asyncio",
    "concurrent.futures",
    "click",
    "email",
    "http",
    "logging",
    "multiprocessing",
    "pyfuse3",
    "rich",
    "shutil",
    "ssl",
    "subprocess",
    "tempfile",
    "trio",
    "typer",
    "urllib.request",
}

RUN = """
import sys
from pathlib import Path
sys.argv = ["rootless", "run", "--rm", "--network", "none", "--rootfs", "/", "true"]
from rootless.cli.main import main
status = main()
print(*sorted(sys.modules), sep="\\n")
sys.exit(status)
"""
MONITOR = """
import sys
from pathlib import Path
import rootless.supervisor.monitor, rootless.rootfs.union, unionfs.session.device
print(*sorted(sys.modules), sep="\\n")
"""


def modules_after(program, env=None):
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_run_imports_nothing_heavy(rootless):
    imported = modules_after(RUN, rootless.env)
    assert "rootless.engine.preparation.prepare" in imported
    assert not imported & (NEVER | {"unionfs.union", "rootless.supervisor.monitor"})


def test_monitor_and_file_server_import_nothing_heavy():
    imported = modules_after(MONITOR)
    assert "unionfs.union" in imported
    assert not imported & NEVER


@pytest.mark.parametrize("words", [["--version"], ["run", "--bogus"], ["images", "--bogus"]])
def test_command_line_alone_imports_little(words):
    program = (
        "import sys; from rootless.cli.main import main; status = main(sys.argv[1:]); "
        "print(*sorted(sys.modules), sep='\\n')"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    imported = set(result.stdout.split())
    assert imported & (NEVER | {"dataclasses", "json", "rootless.engine"}) == set()


def test_first_run_writes_packs_that_the_next_one_takes_its_modules_from(rootless, tmp_path):
    for name in ("rootless", "unionfs"):
        source = Path(importlib.import_module(name).__path__[0])
        shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("*.pack"))
    env = rootless.env | {"PYTHONPATH": str(tmp_path)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    arguments = ["run", "--rm", "--network", "none", "--rootfs", "/", "echo", "hello"]

    def imported_by_finders():
        result = subprocess.run(
            [sys.executable, "-P", "-X", "importtime", "-m", "rootless", *arguments],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (result.returncode, result.stdout) == (0, "hello\n"), result.stderr
        return {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}

    assert "rootless.cli.run.command" in imported_by_finders()
    packs = sorted(each.name for each in (tmp_path / "rootless/__pycache__").glob("*.pack"))
    assert [each.partition(".")[0] for each in packs] == [
        "admission",
        "ahead",
        "detached",
        "exec",
        "file-server",
        "hpc-join",
        "hpc",
        "in-place",
        "join",
        "monitor",
        "prepare",
        "rank-failure",
        "rank",
        "resumed-client",
        "resumed-server",
        "run",
        "shared-image",
    ]
    found = imported_by_finders()
    assert "rootless.module_packs" in found
    assert not found & {
        "rootless.cli.run.command",
        "rootless.engine.preparation.prepare",
        "rootless.supervisor.start",
    }
