"""Python values seen as Go's. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final


class Struct:
    """A Go struct: named fields in order.

    A field that is callable is a method, shown neither by %v nor as JSON.
    """

    __slots__ = ("fields", "type_name")

    def __init__(self, type_name: str, fields: Mapping[str, Any]) -> None:
        self.type_name = type_name
        self.fields = dict(fields)

    def shown(self) -> dict[str, Any]:
        return {name: value for name, value in self.fields.items() if not callable(value)}


class Missing:
    """No value at all: the key of a map that is not there. Differs from None, which is a value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<no value>"


MISSING: Final = Missing()
Value = Any
"""None, bool, int, float, str, bytes, list or tuple, Mapping, Struct, a callable, or MISSING."""
Method = Callable[..., Value]


def is_true(value: Value) -> bool:
    """What `if` and `with` think of it: anything but the zero value; a struct is always true."""
    if value is None or value is MISSING:
        return False
    if isinstance(value, bool | int | float | str | bytes | list | tuple | Mapping):
        return bool(value)
    return True


def type_name(value: Value) -> str:
    """As Go's %T would name it after encoding/json has decoded it."""
    if isinstance(value, Struct):
        return value.type_name
    names: tuple[tuple[Any, str], ...] = (
        (bool, "bool"),
        (int, "int"),
        (float, "float64"),
        (str, "string"),
        (bytes, "[]uint8"),
        ((list, tuple), "[]interface {}"),
        (Mapping, "map[string]interface {}"),
    )
    for kind, name in names:
        if isinstance(value, kind):
            return name
    return "<nil>" if value is None or value is MISSING else "func"


def sorted_items(mapping: Mapping[Any, Value]) -> list[tuple[Any, Value]]:
    """In the order in which Go ranges over and prints a map."""
    try:
        return sorted(mapping.items(), key=lambda item: item[0])
    except TypeError:
        return sorted(mapping.items(), key=lambda item: (type_name(item[0]), str(item[0])))
