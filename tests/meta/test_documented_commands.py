"""Every command that the documents show is run, and says what the documents say."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.rootless import Rootless

ROOT = Path(__file__).parents[2]
EXCUSES = frozenset({"setup", "network", "terminal", "vm", "administrator"})
"""Why a block is not run here: it is what sets this up, needs the outside, a person, the virtual machine, or root."""

LANGUAGES = frozenset({"console", "python", "json", "text", "toml", "c", "sql", "dockerfile"})
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its first line's words, and what is in it."""

    where: str
    info: tuple[str, ...]
    body: str


def documents() -> list[Path]:
    return [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks() -> Iterator[Block]:
    for path in documents():
        text = path.read_text()
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield Block(
                f"{path.relative_to(ROOT)}:{line}", tuple(match["info"].split()), match["body"]
            )


def in_order(path: str, blocks: list[Block]) -> list[Block]:
    """A page that is a tour is typed from its beginning to its end: its blocks as one."""
    tour = [block for block in blocks if block.where.startswith(f"{path}:")]
    whole = Block(path, ("console",), "".join(block.body for block in tour))
    return [whole, *(block for block in blocks if block not in tour)]


BLOCKS = list(blocks())
RUN = in_order(
    "docs/hpc.md",
    in_order(
        "README.md",
        [
            block
            for block in BLOCKS
            if block.info[:1] == ("console",) and not EXCUSES & set(block.info)
        ],
    ),
)


def test_documents_have_commands_to_run() -> None:
    assert RUN


@pytest.mark.slow
@pytest.mark.needs("userns", "fuse", "subuid")
def test_tour_of_make_demo_runs_to_its_end(rootless: Rootless) -> None:
    done = run_command(["bash", "scripts/tour"], env=rootless.env, cwd=ROOT, timeout=600).ok()
    assert "\nHello World\n" in done.stdout
    assert "uid=0(root)" in done.stdout


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_fenced_block_says_what_it_is(block: Block) -> None:
    assert block.info, f"{block.where}: a fenced block names its language"
    assert block.info[0] in LANGUAGES
    assert set(block.info[1:]) <= EXCUSES
    if block.info[0] == "console":
        assert block.body.startswith("$ ")


def steps(body: str) -> list[tuple[str, list[str]]]:
    """(command, lines of output that are shown) for each `$ ` line."""
    found: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def shows(expected: list[str], actual: list[str]) -> bool:
    """Is the output what was shown, `…` standing for any lines?"""
    if not expected:
        return True
    pattern = "".join(
        r"(?:[^\n]*\n)*" if line == "…" else re.escape(line) + "\n" for line in expected
    )
    return re.fullmatch(pattern, "".join(line.rstrip() + "\n" for line in actual)) is not None


@pytest.mark.slow
@pytest.mark.needs("userns", "fuse", "subuid", "fusermount")
@pytest.mark.parametrize("block", RUN, ids=lambda block: block.where)
def test_commands_of_a_block_do_what_it_shows(
    block: Block, rootless: Rootless, tmp_path: Path
) -> None:
    # What a clone has after `make demo`.
    for name in (".venv", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    env = rootless.env | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    separator = f"end-of-output-{os.getpid()}"
    found = steps(block.body)
    script = "set -eu\n" + "".join(f"{command}\necho\necho {separator}\n" for command, _ in found)
    result = run_command(["bash", "-c", script], env=env, cwd=tmp_path, timeout=600)
    outputs = result.stdout.split(f"\n{separator}\n")
    for (command, expected), output in zip(found, outputs, strict=False):
        if output is outputs[-1]:
            break
        assert shows(expected, output.rstrip("\n").splitlines()), (
            f"{shlex.quote(command)} gave\n{output}"
        )
    result.ok()


PROGRAMS = [
    block
    for block in BLOCKS
    if block.where.startswith("docs/api.md:") and block.info == ("python",)
]


def test_page_of_the_python_api_has_programs() -> None:
    assert PROGRAMS


@pytest.mark.needs("userns", "fuse")
@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.where)
def test_program_of_the_python_api_runs(block: Block, rootless: Rootless, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(block.body)
    env = rootless.env | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = run_command([sys.executable, program], env=env, cwd=tmp_path, timeout=600)
    assert (done.status, done.stderr.replace("err\n", "")) == (0, "")
