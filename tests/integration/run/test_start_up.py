"""What a start does not need is not imported before the container runs."""

import subprocess
import sys

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
sys.argv = ["rootless", "run", "--rm", "--network", "none", "--rootfs", "/", "true"]
from rootless.cli.main import main
status = main()
print(*sorted(sys.modules), sep="\\n")
sys.exit(status)
"""
MONITOR = """
import sys
import rootless.supervisor.monitor, rootless.rootfs.union, unionfs.session.device
print(*sorted(sys.modules), sep="\\n")
"""


def modules_after(program, env=None):
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_run_imports_nothing_heavy(rootless):
    imported = modules_after(RUN, rootless.env)
    assert "rootless.engine.prepare" in imported
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
        timeout=60,
        check=False,
    )
    imported = set(result.stdout.split())
    assert imported & (NEVER | {"dataclasses", "json", "rootless.engine"}) == set()
