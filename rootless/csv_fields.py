"""Values that Docker reads as one line of CSV (RFC 4180, as Go's encoding/csv reads it): the values of --mount and
--tmpfs, on the command line and in Dockerfiles. Pure."""

from __future__ import annotations


def split_fields(text: str) -> list[str]:
    """The fields between commas. One in double quotes may hold commas, and `""` for a quote. Raises ValueError
    for a quote that is not closed, or that stands within a field."""
    if '"' not in text:
        return text.split(",")
    fields = []
    position = 0
    while True:
        if text.startswith('"', position):
            field, position = _quoted(text, position + 1)
        else:
            end = text.find(",", position)
            field = text[position : end if end >= 0 else len(text)]
            position += len(field)
            if '"' in field:
                raise ValueError('bare " in non-quoted field')
        fields.append(field)
        if position == len(text):
            return fields
        if text[position] != ",":
            raise ValueError('extraneous or missing " in quoted field')
        position += 1


def _quoted(text: str, position: int) -> tuple[str, int]:
    """The field that begins at `position`, and the place after its closing quote."""
    parts = []
    while True:
        end = text.find('"', position)
        if end < 0:
            raise ValueError('extraneous or missing " in quoted field')
        parts.append(text[position:end])
        position = end + 1
        if not text.startswith('"', position):
            return "".join(parts), position
        parts.append('"')
        position += 1
