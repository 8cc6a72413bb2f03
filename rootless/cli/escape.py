"""Escapes text of images, containers and registries for display: bytes that are not UTF-8, and control characters of
a terminal. Pure.

Python holds a byte that is not UTF-8 as a lone surrogate, U+DC80 to U+DCFF (PEP 383).
"""

from __future__ import annotations


def escaped(text: str) -> str:
    """The text without control characters but newlines, and without lone surrogates."""
    if "\\udc" in text:
        # What repr() makes of a lone surrogate.
        import re

        text = re.sub(r"\\udc([89a-f][0-9a-f])", r"\\x\1", text)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else _escape(each) for each in text)


def _escape(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def escape_undecodable(error: UnicodeError) -> tuple[str, int]:
    """An error handler for codecs: the escapes of what cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unencodable = error.object[error.start : error.end]
    return "".join(map(_escape, unencodable)), error.end
