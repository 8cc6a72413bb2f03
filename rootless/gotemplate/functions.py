"""The functions of a template: Go's own (text/template, "Functions") and Docker's (`docker ps
--format`). Pure.

Each takes values and returns one; CallError says why it does not. `and`, `or` are not here: they do
not evaluate all their arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rootless.gotemplate.errors import CallError
from rootless.gotemplate.formatting import plain, sprint, sprintf, sprintln, to_json
from rootless.gotemplate.values import Method, StringMap, Value, is_true, type_name

_HTML = {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}
_JS = {
    "\\": r"\\",
    "'": r"\'",
    '"': r"\"",
    "<": r"\u003C",
    ">": r"\u003E",
    "&": r"\u0026",
    "=": r"\u003D",
}


def _text(value: Value) -> str:
    """A parameter of type string."""
    if not isinstance(value, str):
        raise CallError(f"wrong type for value; expected string; got {type_name(value)}")
    return value


def _whole(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise CallError(f"wrong type for value; expected int; got {type_name(value)}")
    return value


def _list(value: Value) -> Sequence[Value]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise CallError(f"wrong type for value; expected []string; got {type_name(value)}")
    return value


def _length(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, list | tuple | bytes | Mapping):
        return len(value)
    if value is None:
        raise CallError("len of nil pointer")
    raise CallError(f"len of type {type_name(value)}")


def _index(value: Value, *keys: Value) -> Value:
    for key in keys:
        if value is None:
            raise CallError("index of untyped nil")
        if isinstance(value, Mapping):
            value = value.get(_text(key), "" if isinstance(value, StringMap) else None)
        elif isinstance(value, list | tuple | str | bytes):
            value = _item(value, key)
        else:
            raise CallError(f"can't index item of type {type_name(value)}")
    return value


def _item(value: Sequence[Value], key: Value) -> Value:
    if isinstance(key, bool) or not isinstance(key, int):
        raise CallError(f"cannot index slice/array with type {type_name(key)}")
    items = value.encode() if isinstance(value, str) else value
    if not 0 <= key < len(items):
        raise CallError(f"index out of range: {key}")
    return items[key]


def _slice(value: Value, *bounds: Value) -> Value:
    if len(bounds) > 3:
        raise CallError(f"too many slice indexes: {len(bounds)}")
    if not isinstance(value, list | tuple | str):
        raise CallError(f"can't slice item of type {type_name(value)}")
    if isinstance(value, str) and len(bounds) == 3:
        raise CallError("cannot 3-index slice a string")
    items = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    numbers = [_whole(bound) for bound in bounds]
    for number in numbers:
        if not 0 <= number <= len(items):
            raise CallError(f"index out of range: {number}")
    first, last = [*numbers, *(0, len(items))[len(numbers) :]][:2]
    if first > last:
        raise CallError(f"invalid slice index: {first} > {last}")
    part = items[first:last]
    return part.decode("utf-8", "surrogateescape") if isinstance(part, bytes) else part


def _kind(value: Value) -> str:
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float"), (str, "string")):
        if isinstance(value, kind):
            return name
    raise CallError("invalid type for comparison")


def _incompatible(first: Value, second: Value) -> CallError:
    types = f"{type_name(first)} and {type_name(second)}"
    return CallError(f"incompatible types for comparison: {types}")


def _equal(first: Value, *others: Value) -> bool:
    if not others:
        raise CallError("missing argument for comparison")
    for other in others:
        if first is None or other is None:
            if first is other:
                return True
            continue
        if _kind(first) != _kind(other):
            raise _incompatible(first, other)
        if first == other:
            return True
    return False


def _less(first: Value, second: Value) -> bool:
    if _kind(first) != _kind(second):
        raise _incompatible(first, second)
    if isinstance(first, bool):
        raise CallError("invalid type for comparison")
    return bool(first < second)


def _escaped(table: Mapping[str, str]) -> Method:
    def escape(*values: Value) -> str:
        return "".join(table.get(char, char) for char in sprint(values))

    return escape


def _js(*values: Value) -> str:
    def escape(char: str) -> str:
        if char in _JS:
            return _JS[char]
        return char if char.isprintable() else f"\\u{ord(char):04X}"

    return "".join(map(escape, sprint(values)))


def _url_query(*values: Value) -> str:
    from urllib.parse import quote_plus

    return quote_plus(sprint(values), safe="-_.~")


def _title(text: str) -> str:
    """strings.Title: the first letter of each word, the others as they are."""
    previous = " "
    out = []
    for char in text:
        starts = not (previous.isalnum() or previous in "_'")
        out.append(char.title() if starts and char.isalpha() else char)
        previous = char
    return "".join(out)


def _pad(text: Value, before: Value, after: Value) -> str:
    """Docker's: nothing stays nothing."""
    source = _text(text)
    return " " * _whole(before) + source + " " * _whole(after) if source else source


def _call(function: Value, *arguments: Value) -> Value:
    if function is None:
        raise CallError("call of nil")
    if not callable(function):
        raise CallError(f"non-function {plain(function)} of type {type_name(function)}")
    if wanted := refused_number(function, len(arguments)):
        raise CallError(f"wrong number of args: {wanted} got {len(arguments)}")
    return function(*arguments)


def refused_number(function: Method, given: int) -> str | None:
    """The number of arguments that it takes, if another one is given."""
    import inspect

    parameters = inspect.signature(function).parameters.values()
    fixed = sum(parameter.kind is not parameter.VAR_POSITIONAL for parameter in parameters)
    if len(parameters) > fixed:
        return f"want at least {fixed}" if given < fixed else None
    return f"want {fixed}" if given != fixed else None


def _json(value: Value) -> str:
    try:
        return to_json(value)
    except ValueError as error:
        raise CallError(str(error)) from None


def _truncated(text: str, length: int) -> str:
    """The first bytes, as docker counts."""
    return text.encode(errors="surrogateescape")[:length].decode(errors="replace")


BUILTINS: dict[str, Method] = {
    "call": _call,
    "eq": _equal,
    "ge": lambda first, second: not _less(first, second),
    "gt": lambda first, second: _less(second, first),
    "html": _escaped(_HTML),
    "index": _index,
    "js": _js,
    "le": lambda first, second: not _less(second, first),
    "len": _length,
    "lt": _less,
    "ne": lambda first, second: not _equal(first, second),
    "not": lambda value: not is_true(value),
    "print": lambda *values: sprint(values),
    "printf": lambda layout, *values: sprintf(_text(layout), values),
    "println": lambda *values: sprintln(values),
    "slice": _slice,
    "urlquery": _url_query,
}
DOCKER: dict[str, Method] = {
    "join": lambda items, separator: _text(separator).join(map(_text, _list(items))),
    "json": _json,
    "lower": lambda text: _text(text).lower(),
    "pad": _pad,
    "split": lambda text, separator: (
        _text(text).split(_text(separator)) if separator else list(_text(text))
    ),
    "title": lambda text: _title(_text(text)),
    "truncate": lambda text, length: _truncated(_text(text), max(_whole(length), 0)),
    "upper": lambda text: _text(text).upper(),
}
