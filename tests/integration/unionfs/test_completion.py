"""Completion of rootless-unionfs, as bash does it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def script(shell: str) -> str:
    argv = [sys.executable, "-m", "unionfs", "completion", shell]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def completed(line: str, cwd: Path) -> set[str]:
    """What bash offers at the end of a line. Words are split as readline does: at = and : too."""
    program = f"""
    {script("bash")}
    compopt() {{ :; }}
    COMP_LINE=$1 COMP_POINT=${{#1}}
    read -r -a COMP_WORDS <<< "$1"
    [ "${{1: -1}}" != " " ] || COMP_WORDS+=("")
    COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
    _rootless_unionfs
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    argv = ["bash", "-c", program, "bash", line]
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rootless-unionfs fi", {"finish"}),
        ("rootless-unionfs --se", {"--session"}),
        ("rootless-unionfs --session ", {"auto", "device", "pyfuse3"}),
        ("rootless-unionfs -o lowerd", {"lowerdir="}),
        ("rootless-unionfs -o ro,vola", {"ro,volatile"}),
        ("rootless-unionfs -o ro,ownership=", {"real", "data"}),
        ("rootless-unionfs -o lowerdir=la", {"layer"}),
        ("rootless-unionfs -o lowerdir=layer:ot", {"other"}),
        ("rootless-unionfs -o lowerdir=layer la", {"layer"}),
        ("rootless-unionfs stats --h", {"--histogram"}),
        ("rootless-unionfs bench --scale s", {"small"}),
        ("rootless-unionfs completion z", {"zsh"}),
    ],
)
def test_bash_completes(tmp_path: Path, line: str, offered: set[str]) -> None:
    for name in ("layer", "other"):
        (tmp_path / name).mkdir()
    assert completed(line, tmp_path) & offered == offered
    assert (
        all(word.startswith(line.rsplit(" ", 1)[1][:1]) for word in offered)
        or "=" in line
        or line.endswith(" ")
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_of_each_shell_names_the_program(shell: str) -> None:
    assert "rootless-unionfs" in script(shell)


def test_completion_for_an_unknown_shell_is_refused() -> None:
    argv = [sys.executable, "-m", "unionfs", "completion", "tcsh"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "rootless-unionfs: usage: rootless-unionfs completion bash|zsh|fish\n"
