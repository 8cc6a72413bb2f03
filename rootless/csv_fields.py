"""Values that Docker reads as one line of CSV (RFC 4180, as Go's encoding/csv reads it): the values of --mount and
--tmpfs, on the command line and in Dockerfiles. Pure."""

from __future__ import annotations


def split_fields(text: str) -> list[str]:
    """The fields between commas. One in double quotes may hold commas, and `""` for a quote. Raises ValueError
    for a quote that is not closed, or that stands within a field."""
    if '"' not in text:
        return text.split(",")
    fields = []
    rest = text
    while True:
        if rest.startswith('"'):
            field, rest = _quoted(rest[1:])
        else:
            field, comma, rest = rest.partition(",")
            if '"' in field:
                raise ValueError('bare " in non-quoted field')
            rest = comma + rest
        fields.append(field)
        if not rest:
            return fields
        if not rest.startswith(","):
            raise ValueError('extraneous or missing " in quoted field')
        rest = rest[1:]


def _quoted(rest: str) -> tuple[str, str]:
    """The field before the closing quote, and what follows it."""
    parts = []
    while True:
        part, quote, rest = rest.partition('"')
        if not quote:
            raise ValueError('extraneous or missing " in quoted field')
        parts.append(part)
        if not rest.startswith('"'):
            return "".join(parts), rest
        parts.append('"')
        rest = rest[1:]
