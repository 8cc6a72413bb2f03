"""The Go templates of --format: parsing and rendering, and their mistakes as errors of the command
line. Imported only where a template is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from rootless.errors import UsageError
from rootless.gotemplate import Template, TemplateError, parse


class TemplateUsageError(UsageError):
    """A template that does not parse, or does not fit."""

    exit_status = 1
    code = "template"


class InspectTemplateError(TemplateUsageError):
    """A template of `inspect` that does not parse, for which docker's client exits with 64."""

    exit_status = 64


def parse_format(text: str) -> Template:
    """The template of a list or of a document. Raises TemplateUsageError."""
    try:
        return parse(_unescaped(text))
    except TemplateError as error:
        raise TemplateUsageError(f"template parsing error: {error}") from error


def render(template: Template, data: object) -> str:
    """The output of a template. Raises TemplateUsageError."""
    try:
        return template.render(data)
    except TemplateError as error:
        raise TemplateUsageError(f"template parsing error: {error}") from error


def parse_inspect_format(text: str) -> Template:
    """The template of `inspect`. Raises InspectTemplateError."""
    try:
        return parse(text)
    except TemplateError as error:
        raise InspectTemplateError(f"template parsing error: {error}") from error


def render_inspected(
    template: Template,
    document: Mapping[str, Any],
    extended: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> str:
    """As docker's client does it (cli/command/inspect): with the struct that it knows, and if that has
    not got a field, with the document as it came, whose missing keys are errors.

    `extended` gives the document with podman's fields, which is tried before that error. Raises TemplateUsageError.
    """
    from rootless.cli.inspect_types import as_struct

    try:
        return template.render(as_struct(document))
    except TemplateError:
        pass
    try:
        return template.render(document, missing_key="error")
    except TemplateError as error:
        try:
            return template.render(extended(document), missing_key="error")
        except TemplateError:
            raise TemplateUsageError(f"template parsing error: {error}") from error


def _unescaped(text: str) -> str:
    """A shell's single quotes keep \\t and \\n as they are; docker reads them. Within an action they
    are Go's to read.
    """
    parts = re.split(r"(\{\{.*?\}\})", text, flags=re.DOTALL)
    return "".join(
        part if part.startswith("{{") else part.replace("\\t", "\t").replace("\\n", "\n")
        for part in parts
    )
