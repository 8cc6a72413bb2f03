"""The packs of a start, written for a copy of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rootless.module_packs import MONITOR, NAMES
from rootless.pack_writer import BEFORE, MODULES

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages of the project in a directory of this user."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("rootless", "unionfs"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tree


def execute(tree: Path, *arguments: str) -> str:
    env = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    } | {"PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        env=env,
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def packs(tree: Path) -> dict[str, Path]:
    found = (tree / "rootless/__pycache__").glob("*.pack")
    return {each.name.partition(".")[0]: each for each in found}


@pytest.fixture
def packed(copy: Path) -> Path:
    """The copy with all of its packs, whichever test was before."""
    if packs(copy).keys() != MODULES.keys():
        execute(copy, "-m", "rootless.pack_writer")
    return copy


def test_packs_hold_what_the_processes_import(copy: Path) -> None:
    execute(copy, "-m", "rootless.pack_writer")
    assert packs(copy).keys() == MODULES.keys() == set(NAMES)
    for name in MODULES:
        code = (
            "import sys; from rootless import module_packs, pack_writer\n"
            f"for each in {(*BEFORE.get(name, ()), name)}: module_packs.load(each)\n"
            "before = set(sys.modules)\n"
            f"for each in pack_writer.MODULES[{name!r}]: __import__(each)\n"
            "print(*sys.modules.keys() - before)"
        )
        assert execute(copy, "-c", code).split() == []


def test_changed_source_has_its_packs_removed_and_written_again(packed: Path) -> None:
    source = packed / "rootless/supervisor/monitor.py"
    source.write_text(source.read_text() + "CHANGED = 1\n")
    code = (
        "from rootless import module_packs; module_packs.load('run'); module_packs.load('monitor')\n"
        "import rootless.supervisor.monitor as m; print(m.CHANGED)"
    )
    assert execute(packed, "-c", code) == "1\n"
    assert packs(packed).keys() == MODULES.keys() - {MONITOR}
    execute(packed, "-c", "from rootless import module_packs; module_packs.write_missing()")
    assert packs(packed).keys() == MODULES.keys()
    assert execute(packed, "-c", code) == "1\n"
    assert packs(packed).keys() == MODULES.keys()


def test_complete_packs_are_not_written_again(packed: Path) -> None:
    before = {name: path.stat().st_ino for name, path in packs(packed).items()}
    execute(packed, "-c", "from rootless import module_packs; module_packs.write_missing()")
    assert {name: path.stat().st_ino for name, path in packs(packed).items()} == before


def test_nothing_is_written_where_no_compiled_files_are(copy: Path) -> None:
    for each in packs(copy).values():
        each.unlink()
    code = "from rootless import module_packs; module_packs.write_missing()"
    execute(copy, "-B", "-c", code)
    assert packs(copy) == {}


def test_modules_of_another_interpreter_setting_are_not_taken(packed: Path) -> None:
    code = (
        "import sys; from rootless import module_packs; module_packs.load('run')\n"
        "print('rootless.cli.run.command' in sys.modules)"
    )
    assert execute(packed, "-c", code) == "True\n"
    assert execute(packed, "-O", "-c", code) == "False\n"


@pytest.mark.parametrize(
    ("line", "loaded"),
    [
        ("run box true", "rootless.supervisor.start"),
        ("container run box true", "rootless.supervisor.start"),
        ("run --join box true", "rootless.ranks.recipe"),
        ("run --join-tag=step box true", "rootless.ranks.recipe"),
        ("exec box true", "rootless.engine.exec_in_container"),
        ("container exec box true", "rootless.engine.exec_in_container"),
        ("rm exec", ""),
        ("hpc exec box true", "rootless.cli.hpc.run"),
        ("hpc pull box", ""),
        ("hpc", ""),
    ],
)
def test_command_line_loads_the_pack_of_its_process(packed: Path, line: str, loaded: str) -> None:
    names = (
        "rootless.supervisor.start",
        "rootless.ranks.recipe",
        "rootless.engine.exec_in_container",
        "rootless.cli.hpc.run",
    )
    code = (
        f"import sys; from rootless import module_packs; module_packs.load(module_packs.first_of({line.split()}))\n"
        f"print(*(each for each in {names} if each in sys.modules))"
    )
    assert execute(packed, "-c", code).strip() == loaded
