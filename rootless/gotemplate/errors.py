"""Errors of templates, in Go's words."""

from __future__ import annotations


class TemplateError(ValueError):
    """`template:

    NAME:LINE: …` from the parser, `template: NAME:LINE:COLUMN: executing …` from the evaluation.
    """


class CallError(ValueError):
    """A function refuses its arguments; becomes a TemplateError with the place of the call."""
