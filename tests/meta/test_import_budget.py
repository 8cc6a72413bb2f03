"""A start imports only the modules that it needs before the container runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEAVY = frozenset(
    {
        "trio",
        "typer",
        "click",
        "rich",
        "pyfuse3",
        "asyncio",
        "ssl",
        "http",
        "urllib.request",
        "logging",
        "email",
        "subprocess",
        "multiprocessing",
        "concurrent.futures",
        "sqlite3",
        "zstandard",
        "hypothesis",
        "pytest",
    }
)
COSTLY = frozenset(
    {
        "collections",
        "contextlib",
        "ctypes",
        "dataclasses",
        "enum",
        "functools",
        "inspect",
        "json",
        "pathlib",
        "pickle",
        "re",
        "shutil",
        "signal",
        "socket",
        "threading",
        "typing",
        "urllib.parse",
    }
)
"""Between one and fifteen milliseconds each, and each with something in its place
(docs/decisions/1300)."""

BEFORE_THE_FORK = (
    "import rootless.__main__, rootless.cli.run.command, rootless.containers.storage_paths, rootless.engine.new_containers, "
    "rootless.supervisor.start"
)
RUN = f"{BEFORE_THE_FORK}, rootless.supervisor.foreground"
PREPARE = (
    "import rootless.engine.preparation.prepare, rootless.store.chains, rootless.spec.resources, "
    "rootless.spec.seccomp_profile"
)
EXEC = (
    "import rootless.__main__, rootless.cli.containers.exec, rootless.engine.engine, "
    "rootless.engine.exec_in_container, rootless.containers.directory, rootless.containers.delete_tree, "
    "rootless.cgroups.membership"
)
RANK = "import rootless.__main__, rootless.cli.rank"
RANK_OF_HPC = (
    "import rootless.__main__, rootless.cli.hpc.run, rootless.cli.hpc.container, rootless.cli.escape, "
    "rootless.containers.storage_paths, rootless.engine.new_containers, rootless.hpc.names, rootless.paths, "
    "rootless.spec.storage_driver"
)
COPY = (
    "import rootless.__main__, rootless.cli.containers.cp, rootless.engine.engine, "
    "rootless.rootfs.copying.into_container, rootless.rootfs.copying.out_of_container, rootless.containers.delete_tree"
)
LIST = (
    "import rootless.__main__, rootless.cli.containers.listing, rootless.engine.engine, "
    "rootless.containers.filters, rootless.containers.reconcile"
)
MONITOR = (
    "import rootless.supervisor.monitor, rootless.cgroups.hierarchy, rootless.containers.events"
)
BUILD = "import rootless.__main__, rootless.cli.builds.build, rootless.build.build, rootless.build.request"
MOUNT = "import unionfs.__main__, unionfs.commands.serve, unionfs.commands.stack"
FILE_SERVER = (
    "import rootless.supervisor.file_servers.file_server, rootless.rootfs.union, unionfs.session.device, "
    "unionfs.session.continuation, unionfs.ops.journal_records, rootless.supervisor.file_servers.copy_up_report"
)


def modules_after(statement: str) -> set[str]:
    """What a statement imports beyond what the interpreter has without the site's own modules."""
    code = (
        f"import sys; before = set(sys.modules)\n{statement}\nprint(*sys.modules.keys() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, timeout=120
    )
    return set(done.stdout.decode().split())


@pytest.mark.parametrize(
    "statement", ["import rootless.__main__", "import rootless.runtime", "import unionfs"]
)
def test_start_loads_nothing_heavy(statement: str) -> None:
    assert modules_after(statement) & (HEAVY | COSTLY) == set()


@pytest.mark.parametrize(
    ("statement", "budget"),
    [
        (BEFORE_THE_FORK, 60),
        (RUN, 64),
        (f"{RUN}, rootless.supervisor.terminals.terminal_session", 68),
        (EXEC, 91),
        (RANK, 44),
        (RANK_OF_HPC, 41),
        (
            f"{RANK_OF_HPC}, rootless.supervisor.in_place, rootless.cli.hpc.image, rootless.rootfs.image.paths",
            103,
        ),
        (COPY, 70),
        (LIST, 48),
        (PREPARE, 74),
        (MONITOR, 97),
        (FILE_SERVER, 117),
        (MOUNT, 67),
    ],
)
def test_process_of_a_run_loads_nothing_costly(statement: str, budget: int) -> None:
    loaded = modules_after(statement)
    assert loaded & (HEAVY | COSTLY) == set()
    assert len(loaded) <= budget, sorted(loaded)


def test_rank_with_a_recipe_does_without_os() -> None:
    """It takes a millisecond, of the four that a rank needs beyond the interpreter."""
    code = f"import sys\n{RANK}\nprint(*sys.modules)"
    argv = [sys.executable, "-S", "-P", "-c", f"import sys; sys.path.append({str(ROOT)!r})\n{code}"]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60, text=True)
    assert not set(done.stdout.split()) & {"os", "struct", "rootless.errors", "rootless.light_json"}


def test_build_that_finds_everything_in_the_cache_loads_no_archives_and_no_union() -> None:
    loaded = modules_after(BUILD)
    heavy = {
        "shutil",
        "tarfile",
        "threading",
        "typing",
        "unionfs.changes.snapshot",
        "unionfs.union",
    }
    assert loaded & (HEAVY | heavy) == set()
    assert len(loaded) <= 225, sorted(loaded)
