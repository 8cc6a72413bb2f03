#!/usr/bin/env python3
"""Write the documentation of the Python interface, docs/api/, from the docstrings of the modules below.

    scripts/api_docs.py

Reads the sources without importing them. Documented are names without a leading underscore: modules, functions, classes with
their methods and fields, and constants that a docstring follows.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs/api"
MODULES = {
    "Containers and images": (
        "rootless.engine.engine",
        "rootless.engine.async_engine",
        "rootless.engine.container_store",
        "rootless.engine.image_store",
        "rootless.engine.volumes.store",
        "rootless.engine.networks.store",
        "rootless.engine.manifest_lists",
        "rootless.engine.captured",
        "rootless.engine.slim_image",
        "rootless.engine.try_session",
        "rootless.tracing.trace",
        "rootless.engine.boot",
        "rootless.events.event",
        "rootless.events.filters",
        "rootless.events.stream",
        "rootless.build.request",
        "rootless.build.files.context",
        "rootless.build.outputs",
        "rootless.spec.options",
        "rootless.spec.health",
        "rootless.spec.exec_options",
        "rootless.logs.reader",
        "rootless.containers.record",
        "rootless.containers.status",
        "rootless.errors",
    ),
    "The union file system": (
        "unionfs.union",
        "unionfs.filesystem",
        "unionfs.layer",
        "unionfs.model",
        "unionfs.ownership",
        "unionfs.directory.lower",
        "unionfs.directory.upper",
        "unionfs.tar.layer",
        "unionfs.memory",
        "unionfs.commands.mount",
        "unionfs.commands.stack",
        "unionfs.session.device",
        "unionfs.session.options",
    ),
}
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> int:
    pages = {"README.md": index()}
    for name in (name for names in MODULES.values() for name in names):
        pages[f"{name}.md"] = page(name)
    PAGES.mkdir(exist_ok=True)
    before = {path.name: path.read_text() for path in PAGES.glob("*.md")}
    for name in before.keys() - pages:
        (PAGES / name).unlink()
    for name, text in pages.items():
        if text != before.get(name):
            (PAGES / name).write_text(text)
            print(f"docs/api/{name} has changed: commit it", file=sys.stderr)
    return 0


def index() -> str:
    lines = [
        "# Python interface",
        "",
        "Written by `make api-docs` from the docstrings of the sources.",
    ]
    for title, names in MODULES.items():
        lines += ["", f"## {title}", ""]
        for name in names:
            summary = documentation(module(name)).partition("\n\n")[0].replace("\n", " ")
            lines.append(f"- [`{name}`]({name}.md): {summary}")
    return "\n".join([*lines, ""])


def module(name: str) -> ast.Module:
    return ast.parse((ROOT / name.replace(".", "/")).with_suffix(".py").read_text())


def page(name: str) -> str:
    tree = module(name)
    lines = [f"# {name}", "", documentation(tree)]
    for node in tree.body:
        match node:
            case ast.ClassDef() if public(node.name):
                bases = f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else ""
                lines += [
                    "",
                    f"## class {node.name}{bases}",
                    "",
                    documentation(node),
                    *members(node),
                ]
            case ast.FunctionDef() | ast.AsyncFunctionDef() if public(node.name):
                lines += ["", f"## {node.name}", *function(node)]
    lines += [
        line for name, text, doc in fields(tree.body) if doc for line in constant(name, text, doc)
    ]
    return "\n".join(lines).rstrip() + "\n"


def members(node: ast.ClassDef) -> Iterator[str]:
    rows = [each for each in fields(node.body) if public(each[0])]
    if rows:
        yield from ("", "| field | |", "|---|---|")
    for _, text, doc in rows:
        yield f"| `{cell(text)}` | {cell(doc)} |"
    for each in node.body:
        match each:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if public(name) or (
                name == "__init__" and documentation(each)
            ):
                yield from ("", f"### {node.name}.{name}", *function(each))


def cell(text: str) -> str:
    """Text as a cell of a table."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")


def function(node: _Function) -> Iterator[str]:
    prefix = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    yield from ("", "```python", f"{prefix} {node.name}({ast.unparse(node.args)}){result}", "```")
    for decorator in map(ast.unparse, node.decorator_list):
        if decorator in {"property", "staticmethod", "classmethod"}:
            yield from ("", f"({decorator})")
    if text := documentation(node):
        yield from ("", text)


def constant(name: str, text: str, doc: str) -> Sequence[str]:
    return ("", f"## {name}", "", f"`{text}`", "", doc) if public(name) else ()


def fields(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str, str]]:
    """(name, as it is written, its docstring) of each assignment to one name."""
    for number, node in enumerate(body):
        following = body[number + 1] if number + 1 < len(body) else None
        match following:
            case ast.Expr(value=ast.Constant(value=str() as doc)):
                text = inspect.cleandoc(doc)
            case _:
                text = ""
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, ast.unparse(node), text
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name, ast.unparse(node), text


def documentation(node: ast.Module | ast.ClassDef | _Function) -> str:
    return ast.get_docstring(node) or ""


def public(name: str) -> bool:
    return not name.startswith("_")


if __name__ == "__main__":
    sys.exit(main())
