"""Go's literals (The Go Programming Language Specification, "Lexical elements").

Pure; each raises ValueError.
"""

from __future__ import annotations

import re

_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL
)


def unquote(text: str) -> str:
    """The value of a string literal, interpreted or raw."""
    if text.startswith("`"):
        return text[1:-1].replace("\r", "")
    return _unescape(text[1:-1], '"')


def character(text: str) -> int:
    """The code point of a rune literal."""
    value = _unescape(text[1:-1], "'")
    if len(value) != 1:
        raise ValueError(f"malformed character constant: {text}")
    return ord(value)


def _unescape(body: str, quote: str) -> str:
    def replace(match: re.Match[str]) -> str:
        byte, short, long, octal, char = match.groups()
        if char is not None:
            if char == quote:
                return quote
            if char not in _SIMPLE:
                raise ValueError("invalid syntax")
            return _SIMPLE[char]
        code = int(octal, 8) if octal else int(byte or short or long, 16)
        if byte or octal:
            # A byte, not a character; several of them may make one.
            return "\udc00" if code > 255 else chr(code) if code < 128 else chr(0xDC00 + code)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise ValueError("invalid syntax")
        return chr(code)

    text = _ESCAPE.sub(replace, body)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def number(text: str) -> int | float:
    """An untyped constant: whole where it is spelled so."""
    digits = text.lstrip("+-").lower()
    sign = -1 if text.startswith("-") else 1
    try:
        if digits.startswith("0x") and ("p" in digits or "." in digits):
            return sign * float.fromhex(digits.replace("_", ""))
        if digits.startswith(("0x", "0o", "0b")):
            return sign * int(digits, 0)
        if any(char in digits for char in ".e"):
            return sign * float(digits)
        # A leading zero is octal, as in C.
        return sign * int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10)
    except ValueError:
        raise ValueError(f'bad number syntax: "{text}"') from None
