"""Go's fmt verbs for the values of a template, and its JSON. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

from rootless.gotemplate.values import (
    MISSING,
    NilMap,
    NilPointer,
    NilSlice,
    Stringer,
    Struct,
    Value,
    sorted_items,
    type_name,
)

_VERB = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d*))?(?P<verb>.)?", re.DOTALL
)
_WIDEST = 1_000_000  # fmt/print.go, tooLarge
_GO_ESCAPES = {7: r"\a", 8: r"\b", 9: r"\t", 10: r"\n", 11: r"\v", 12: r"\f", 13: r"\r"}


def plain(value: Value, *, fields: bool = False) -> str:
    """%v; with `fields` %+v, which names the fields of structs."""
    if value is None or value is MISSING:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Stringer):
        return value.string()
    if isinstance(value, float):
        return general(value)
    if isinstance(value, str):
        return value
    if isinstance(value, Struct):
        parts = (
            f"{name}:{plain(part, fields=True)}" if fields else plain(part)
            for name, part in value.shown().items()
        )
        return f"{{{' '.join(parts)}}}"
    if isinstance(value, Mapping):
        pairs = (f"{plain(key)}:{plain(part, fields=fields)}" for key, part in sorted_items(value))
        return f"map[{' '.join(pairs)}]"
    if isinstance(value, list | tuple | bytes):
        return f"[{' '.join(plain(part, fields=fields) for part in value)}]"
    return str(value)


def general(value: float, precision: int | None = None) -> str:
    """%v of a float: the shortest digits that say it, with an exponent below -4 and from 21 on."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if precision is not None:
        return f"{value:.{precision or 1}g}"
    mantissa, exponential, exponent = repr(value).removesuffix(".0").partition("e")
    if not exponential:
        return mantissa
    power = int(exponent)
    if not -4 <= power < 21:
        return f"{mantissa}e{power:+03d}"
    whole, _, fraction = mantissa.partition(".")
    return whole + fraction.ljust(power, "0")


def quoted(text: str) -> str:
    """%q: a Go string literal."""
    out = ['"']
    for char in text:
        code = ord(char)
        if char in '"\\':
            out.append(f"\\{char}")
        elif code in _GO_ESCAPES:
            out.append(_GO_ESCAPES[code])
        elif char.isprintable():
            out.append(char)
        elif code < 0x80:
            out.append(f"\\x{code:02x}")
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return "".join((*out, '"'))


def sprint(values: Sequence[Value]) -> str:
    """fmt.Sprint: a space between operands when neither is a string."""
    out: list[str] = []
    for position, value in enumerate(values):
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            out.append(" ")
        out.append(plain(value))
    return "".join(out)


def sprintln(values: Sequence[Value]) -> str:
    return " ".join(map(plain, values)) + "\n"


def sprintf(layout: str, values: Sequence[Value]) -> str:
    """fmt.Sprintf, its complaints about wrong verbs and operands included."""
    remaining = list(values)
    wrong: list[str] = []

    def star(text: str | None, complaint: str) -> int | None:
        if text != "*":
            return int(text) if text else None
        taken = remaining.pop(0) if remaining else None
        if isinstance(taken, bool) or not isinstance(taken, int) or abs(taken) > _WIDEST:
            wrong.append(complaint)
            return None
        return taken

    def replace(match: re.Match[str]) -> str:
        flags, verb = match["flags"], match["verb"]
        wrong.clear()
        width = star(match["width"], "%!(BADWIDTH)")
        dotted = match["precision"]
        precision = None if dotted is None else star(dotted, "%!(BADPREC)") or 0
        if precision is not None and precision < 0:
            precision = None
            wrong.append("%!(BADPREC)")
        if verb is None or max(width or 0, precision or 0) > _WIDEST:
            text = "%!(NOVERB)"
        elif verb == "%":
            text = "%"
        elif not remaining:
            text = f"%!{verb}(MISSING)"
        else:
            shown = _one(verb, flags, precision, remaining.pop(0))
            text = _padded(shown, flags, width, numeric=verb not in "svqTt")
        return "".join((*wrong, text))

    out = _VERB.sub(replace, layout)
    if remaining:
        extra = ", ".join(
            "<nil>" if value is None else f"{type_name(value)}={plain(value)}"
            for value in remaining
        )
        out += f"%!(EXTRA {extra})"
    return out


def _padded(text: str, flags: str, width: int | None, *, numeric: bool) -> str:
    if width is None:
        return text
    if width < 0 or "-" in flags:
        return text.ljust(abs(width))
    if "0" in flags and numeric:
        sign = text[:1] if text[:1] in "+- " else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width)


def _one(verb: str, flags: str, precision: int | None, value: Value) -> str:
    text: str | None = None
    if isinstance(value, Stringer) and verb in "vsq":
        value = value.string()
    if verb == "v":
        text = quoted(value) if "#" in flags and isinstance(value, str) else None
        text = plain(value, fields="+" in flags) if text is None else text
    elif verb == "T":
        text = type_name(value)
    elif isinstance(value, list | tuple) and verb != "t":
        text = f"[{' '.join(_one(verb, flags, precision, part) for part in value)}]"
    elif isinstance(value, bool):
        text = plain(value) if verb == "t" else None
    elif isinstance(value, int):
        text = _integer(verb, flags, value)
    elif isinstance(value, float):
        text = _real(verb, flags, precision, value)
    elif isinstance(value, str):
        text = _string(verb, flags, precision, value)
    if text is not None:
        return text
    if value is None:
        return f"%!{verb}(<nil>)"
    return f"%!{verb}({type_name(value)}={plain(value)})"


def _integer(verb: str, flags: str, value: int) -> str | None:
    sign = "+" if "+" in flags and value >= 0 else " " if " " in flags and value >= 0 else ""
    if verb in "dxXob":
        return sign + format(value, f"{'#' if '#' in flags and verb != 'd' else ''}{verb}")
    if verb == "c":
        return _rune(value)
    if verb == "q":
        return f"'{_rune(value)}'"
    return f"U+{value:04X}" if verb == "U" else None


def _rune(value: int) -> str:
    """U+FFFD for what is no character (fmt/format.go, fmtC)."""
    return chr(value) if 0 <= value < 0xD800 or 0xE000 <= value <= 0x10FFFF else "\ufffd"


def _real(verb: str, flags: str, precision: int | None, value: float) -> str | None:
    sign = "+" if "+" in flags and value >= 0 else " " if " " in flags and value >= 0 else ""
    if verb in "fFeE":
        return sign + format(value, f".{6 if precision is None else precision}{verb}")
    return sign + general(value, precision) if verb in "gG" else None


def _string(verb: str, flags: str, precision: int | None, value: str) -> str | None:
    cut = value if precision is None else value[:precision]
    if verb == "s":
        return cut
    if verb == "q":
        return f"`{cut}`" if "#" in flags and "`" not in cut and cut.isprintable() else quoted(cut)
    if verb in "xX":
        encoded = cut.encode("utf-8", "surrogateescape").hex(*((" ",) if " " in flags else ()))
        return encoded.upper() if verb == "X" else encoded
    return None


def to_json(value: Value) -> str:
    """encoding/json without HTML escapes: no spaces, the keys of maps in the order they have."""
    if isinstance(value, Struct):
        value = value.document()
    if value is None or value is MISSING or isinstance(value, NilPointer | NilSlice | NilMap):
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _json_number(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, str):
        return _json_string(value)
    if isinstance(value, Mapping):
        pairs = (f"{_json_string(str(key))}:{to_json(part)}" for key, part in value.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(to_json, value))}]"
    raise ValueError(f"json: unsupported type: {type_name(value)}")


def _json_number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"json: unsupported value: {plain(value)}")
    return general(value).replace("e-0", "e-")


def _json_string(text: str) -> str:
    encoded = json.dumps(text, ensure_ascii=False)
    if not encoded.isascii():
        # A byte that is not UTF-8 (PEP 383); as an escape the document stays one.
        encoded = "".join(
            f"\\u{ord(each):04x}" if "\ud800" <= each <= "\udfff" else each for each in encoded
        )
    # Go escapes what JavaScript takes for the end of a line.
    return encoded.replace("\u2028", r"\u2028").replace("\u2029", r"\u2029")
