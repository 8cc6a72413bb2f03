"""Help texts are prose that people read: golden files, so that every change of them is looked at.

`ROOTLESS_WRITE_HELP=1 pytest tests/unit/rootless/cli/test_help.py` writes them anew.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "help"
COMMANDS = [
    "",
    "run",
    "create",
    "volume",
    "start",
    "stop",
    "restart",
    "kill",
    "wait",
    "pause",
    "unpause",
    "update",
    "exec",
    "logs",
    "attach",
    "events",
    "healthcheck",
    "top",
    "stats",
    "ps",
    "rm",
    "build",
    "builder",
    "images",
    "rmi",
    "load",
    "save",
    "import",
    "tag",
    "untag",
    "commit",
    "diff",
    "changes",
    "try",
    "trace",
    "drop",
    "snapshot",
    "rollback",
    "branch",
    "apply",
    "export",
    "pull",
    "push",
    "login",
    "logout",
    "search-tags",
    "copy",
    "manifest",
    "network",
    "network create",
    "hpc",
    "hpc run",
    "hpc shell",
    "hpc pull",
    "hpc inspect",
    "hpc overlay",
    "network connect",
    "history",
    "inspect",
    "cow",
    "info",
    "version",
    "doctor",
    "container",
    "image",
    "image slim",
    "system",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_as_agreed(command):
    result = subprocess.run(
        [sys.executable, "-m", "rootless", *command.split(), "--help"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1"},
    )
    assert (result.returncode, result.stderr) == (0, "")
    golden = GOLDEN / f"{command or 'rootless'}.txt"
    if os.environ.get("ROOTLESS_WRITE_HELP"):
        golden.write_text(result.stdout)
    assert result.stdout == golden.read_text()


def test_bare_command_prints_the_help():
    result = subprocess.run(
        [sys.executable, "-m", "rootless"], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: rootless")
