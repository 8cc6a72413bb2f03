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

PROGRAM = """
import os, sys
sys.argv = ["rootless", "run", "--rm", "--network", "none", "--rootfs", "/", "true"]
import rootless.cli.main
fork = os.fork
def watched():
    print(*sorted(sys.modules), file=sys.stderr, sep="\\n")
    os.fork = fork
    return fork()
os.fork = watched
sys.exit(rootless.cli.main.main())
"""


def test_modules_imported_before_the_monitor_is_forked(rootless):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=rootless.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    imported = set(result.stderr.split())
    assert "rootless.engine.foreground" in imported
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
    assert not imported & (NEVER | {"dataclasses", "json", "rootless.engine"})
