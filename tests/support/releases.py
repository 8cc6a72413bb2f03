"""A copy of the packages, from which a test starts the program and in which it installs another release meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import rootless as package
from tests.support.rootless import Rootless
from tests.support.waiting import let_pass

_WITHOUT_COMPILED = {"PYTHONDONTWRITEBYTECODE": "1"}


def copied_tree(directory: Path) -> Path:
    """Copy the packages, without packs, to a new directory below `directory`."""
    tree = directory / "tree"
    for name in ("rootless", "unionfs"):
        source = Path(package.__file__).parent.parent / name
        shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("*.pack"))
    let_pass(0.1)  # a process knows to a hundredth of a second whether a module is older
    return tree


def write_packs(box: Rootless, tree: Path) -> None:
    writer = [sys.executable, "-m", "rootless.pack_writer"]
    subprocess.run(writer, env=_environment(box, tree), cwd=tree, check=True)


def start_from(
    box: Rootless, tree: Path, *words: str | os.PathLike[str]
) -> subprocess.Popen[bytes]:
    """Start the program with the modules of a tree. Its standard input and output are pipes."""
    argv = [sys.executable, "-m", "rootless", *words]
    streams = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    env = _environment(box, tree) | _WITHOUT_COMPILED
    running = subprocess.Popen(argv, env=env, cwd=tree, **streams)
    box.started.append(running)
    return running


def replace_module(tree: Path, module: str) -> None:
    """Put a copy with the same content and times in the place of a module."""
    shutil.copy2(tree / module, tree / "copy.py")
    (tree / "copy.py").rename(tree / module)


def install_another_release(tree: Path) -> None:
    """None of its modules works, and it has no packs."""
    for path in tree.rglob("*.py"):
        path.write_text("raise RuntimeError('of another release')\n")
    for path in tree.rglob("*.pack"):
        path.unlink()


def _environment(box: Rootless, tree: Path) -> dict[str, str]:
    variables = {**box.env, "PYTHONPATH": str(tree)}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables
