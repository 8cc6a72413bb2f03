"""--format: the words `json` and `table`, and Go templates, of lists and of single objects.

As in Docker's formatter package: a list is printed row by row; `table TEMPLATE` puts a header of the
columns' titles above and aligns at tabs. In a template of a list, a row is a struct, so that a
column which does not exist is an error; a document of `inspect` is a map.
"""

from __future__ import annotations

from rootless.cli.output import as_json, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeAlias

Titles: TypeAlias = "Mapping[str, str]"
"""What each field of a row is called in a header."""


def print_list(
    form: str | None,
    kind: str,
    titles: Titles,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    *,
    sample: Mapping[str, Any] | None = None,
    heading: bool = True,
    unlisted: frozenset[str] = frozenset(),
) -> None:
    """Print rows by --format; without one as a table of `columns`. `kind` is what Docker calls such
    a row in errors. A value may be a function: a method of the row. A template is tried on `sample`
    where there are no rows, so that its mistakes are errors all the same.

    `heading` False: tables without their first line. `unlisted`: fields that a template may name and
    `json` does not show.
    """
    if form in (None, "", "table"):
        text = table(
            [titles[name] for name in columns],
            [[str(row[name]) for name in columns] for row in rows],
        )
        _print_table(text, heading)
        return
    from rootless.cli.templates import parse_format, render
    from rootless.gotemplate import NilPointer, Struct

    source = "{{json .}}" if form == "json" else str(form)
    with_header = source.startswith("table ")
    template = parse_format(source.removeprefix("table ").strip())
    if not rows and sample is not None:
        render(template, Struct(kind, sample, unlisted))
    lines = []
    for row in rows:
        # As a document the fields are in the order of their names, in which docker has them.
        fields = {name: NilPointer() if row[name] is None else row[name] for name in sorted(row)}
        lines.append(render(template, Struct(kind, fields, unlisted)))
    if not with_header:
        for line in lines:
            print(line)
        return
    shown = rows[0] if rows else sample or {}
    header = render(template, Struct(kind, _header(titles, shown)))
    cells = [line.split("\t") for line in (header, *lines)]
    width = max(map(len, cells))
    padded = [[*line, *[""] * (width - len(line))] for line in cells]
    _print_table(table(padded[0], padded[1:]), heading)


def _print_table(text: str, heading: bool) -> None:
    lines = text if heading else text.partition("\n")[2]
    if lines:
        print(lines)


def print_document(
    form: str | None,
    document: object,
    readable: Callable[[], str],
    *,
    kind: str = "",
    unlisted: Mapping[str, Any] | None = None,
) -> None:
    """Print one object by --format; without one as people read it.

    With `kind`, what Docker calls it in errors, the document is a struct: a field that it does not
    have is an error. `unlisted`: further fields, which a template may name and `json` does not show.
    """
    if not form:
        print(readable())
    elif form == "json":
        from rootless.gotemplate.formatting import to_json

        print(to_json(document))
    else:
        from rootless.cli.templates import parse_format, render
        from rootless.gotemplate import Struct

        shown = document
        if kind and isinstance(document, dict):
            more = unlisted or {}
            shown = Struct(kind, {**document, **more}, frozenset(more))
        print(render(parse_format(form), shown))


def print_documents(
    form: str | None,
    documents: Sequence[Mapping[str, Any]],
    extended: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda document: document,
) -> None:
    """Print what `inspect` found: a JSON array, or a template's output for each, a line each. `extended` gives a document
    with podman's fields, for a template that has them."""
    if not form:
        print(as_json(documents))
        return
    if form == "json":
        from rootless.gotemplate.formatting import to_json

        print(to_json(list(documents)))
        return
    from rootless.cli.templates import parse_inspect_format, render_inspected

    template = parse_inspect_format(form)
    for document in documents:
        print(render_inspected(template, document, extended))


def check_template(form: str | None) -> None:
    """Raise for a template of `inspect` that does not parse, before anything is looked up."""
    if form and form != "json":
        print_documents(form, ())


def _header(titles: Titles, row: Mapping[str, Any]) -> dict[str, Any]:
    methods = {name: _label_title for name, value in row.items() if callable(value)}
    return {**titles, **methods}


def _label_title(key: object) -> str:
    """Docker titles a column of one label by the last part of its name."""
    return str(key).rpartition(".")[2].replace("-", " ").replace("_", " ")
