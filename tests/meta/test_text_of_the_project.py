"""What every text file of the project keeps to."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOP = (
    "rootless",
    "unionfs",
    "tests",
    "benchmarks",
    "scripts",
    "docs",
    ".ci",
    ".editorconfig",
    ".github",
    ".pre-commit-config.yaml",
    "Makefile",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
)
# Written in two parts, so that this file does not name them itself.
FOREIGN = (
    "/wor" + "k/wt",
    "/wor" + "k/shared",
    "rl" + "venv",
    "rl" + "test",
    "FIX" + "ME",
    "TO" + "DO:",
    "pypi-" + "more",
)
LINES = 800


def text_files() -> Iterator[Path]:
    for name in (*TOP, "pyproject.toml"):
        path = ROOT / name
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if (
                file.is_file()
                and "__pycache__" not in file.parts
                and not file.name.endswith((".pyc", ".png", ".svg"))
            ):
                yield file


def test_text_names_no_place_of_one_machine() -> None:
    named = {}
    for path in text_files():
        text = path.read_text(errors="replace")
        if found := [word for word in FOREIGN if word in text]:
            named[str(path.relative_to(ROOT))] = found
    assert named == {}


def test_text_file_ends_with_a_newline() -> None:
    # A fuzzer's corpus is kept byte for byte.
    files = [path for path in text_files() if path.stat().st_size and "corpus" not in path.parts]
    assert [str(path) for path in files if not path.read_bytes().endswith(b"\n")] == []


def test_module_is_short_enough_to_be_read() -> None:
    modules = [path for path in text_files() if path.suffix == ".py" and path.parts[-2] != "data"]
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules}
    assert {name: lines for name, lines in long.items() if lines > LINES} == {}


# Each sleeps for another reason than to wait: a process that is to be killed, a fault that delays, a guest's own harness.
SLEEPERS = {
    "tests/support/waiting.py",
    "tests/support/faulty.py",
    "tests/unit/rootless/test_durable.py",
    "tests/vm/guest_limits.py",
    "tests/vm/guest_run.py",
    "tests/vm/harness.py",
}


def test_tests_wait_for_conditions_and_do_not_sleep() -> None:
    sleeping = re.compile(r"\btime\.sleep\(")
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("*.py")
        if sleeping.search(path.read_text())
    }
    assert found == SLEEPERS


def test_index_of_decisions_names_every_page_by_its_title() -> None:
    directory = ROOT / "docs/decisions"
    index = (directory / "README.md").read_text()
    rows = dict(re.findall(r"^\| \[\d{4}\]\(([^)]+)\) \| (.+?) \|", index, re.MULTILINE))
    pages = {
        path.name: path.read_text().splitlines()[0]
        for path in directory.glob("*.md")
        if path.name != "README.md"
    }
    assert {name: f"# {name[:4]}. {title}" for name, title in rows.items()} == pages
    assert len({name[:4] for name in pages}) == len(pages)


def test_links_between_documents_lead_to_files() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text())
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_documents_that_the_code_names_exist() -> None:
    broken = []
    for path in text_files():
        if path.suffix not in {".py", ".toml", ".md", ""} or "corpus" in path.parts:
            continue
        for name in re.findall(r"\bdocs/[\w/-]+(?:\.md)?", path.read_text(errors="replace")):
            exact = [ROOT / name, ROOT / f"{name}.md"]
            numbered = re.search(r"decisions/\d{4}$", name)
            if not any(each.exists() for each in exact) and not (
                numbered and list(ROOT.glob(f"{name}-*.md"))
            ):
                broken.append(f"{path.relative_to(ROOT)}: {name}")
    assert broken == []


def test_files_that_the_documents_name_exist() -> None:
    named = re.compile(r"`((?:rootless|unionfs|tests|scripts|benchmarks)/[\w/-]+\.[a-z]+)`")
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        for name in named.findall(path.read_text())
        if not (ROOT / name).exists() and not name.endswith("zip.py")  # an example
    }
    assert missing == set()


def test_design_page_names_every_package() -> None:
    page = (ROOT / "docs/design.md").read_text()
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    names = {
        name.strip()
        for contract in contracts["contracts"]
        if contract.get("containers") in (["unionfs"], ["rootless"])
        for layer in contract["layers"]
        for name in layer.split("|")
    }
    light = {
        "light_imports",
        "light_json",
        "light_stdlib",
        "light_types",
    }  # as `light_*`
    assert [name for name in sorted(names - light) if f"`{name}`" not in page] == []
