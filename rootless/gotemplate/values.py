"""Python values seen as Go's. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final


class Struct:
    """A Go struct: named fields in order.

    A field that is callable is a method, shown neither by %v nor as JSON; one that is `omitted` has a
    value but is not shown either, and one in `omitempty` is not shown as JSON. `json_names` has the names that
    differ in JSON. `embedded` names structs within this one and which of the fields are theirs: %v shows them together.
    """

    __slots__ = ("embedded", "fields", "json_names", "omitempty", "omitted", "type_name")

    def __init__(
        self,
        type_name: str,
        fields: Mapping[str, Any],
        omitted: frozenset[str] = frozenset(),
        *,
        omitempty: frozenset[str] = frozenset(),
        json_names: Mapping[str, str] = MappingProxyType({}),
        embedded: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self.type_name = type_name
        self.fields = dict(fields)
        self.omitted = omitted
        self.omitempty = omitempty
        self.json_names = json_names
        self.embedded = embedded

    def shown(self) -> dict[str, Any]:
        """The fields that %v shows."""
        found = self._shown()
        if not self.embedded:
            return found
        owners = {name: owner for owner, names in self.embedded.items() for name in names}
        shown: dict[str, Any] = {}
        for name, value in found.items():
            owner = owners.get(name)
            if owner is None:
                shown[name] = value
            else:
                shown.setdefault(owner, Struct(owner, {})).fields[name] = value
        return shown

    def document(self) -> dict[str, Any]:
        """The fields as JSON, by their names there."""
        return {
            self.json_names.get(name, name): value
            for name, value in self._shown().items()
            if name not in self.omitempty
        }

    def _shown(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self.fields.items()
            if name not in self.omitted and not callable(value)
        }


class Stringer:
    """A value whose type has the method String, by which %v and %s show it."""

    __slots__ = ()

    def string(self) -> str:
        raise NotImplementedError


class Missing:
    """No value at all: the key of a map that is not there. Differs from None, which is a value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<no value>"


class NilPointer:
    """A nil pointer in a struct: printed as `<nil>`, null as JSON."""

    __slots__ = ()

    def __str__(self) -> str:
        return "<nil>"


class StringMap(dict[str, str]):
    """A map of strings in a struct: what `index` does not find is an empty string."""


class NilSlice(list[Any]):
    """A nil slice in a struct: printed as `[]`, null as JSON."""


class NilMap(StringMap):
    """A nil map in a struct: printed as `map[]`, null as JSON."""


MISSING: Final = Missing()
Value = Any
"""None, bool, int, float, str, bytes, list or tuple, Mapping, Struct, NilPointer, a callable, or MISSING."""
Method = Callable[..., Value]


def is_true(value: Value) -> bool:
    """The truth of a value for `if` and `with`: anything but the zero value is true; a struct is always true."""
    if value is None or value is MISSING or isinstance(value, NilPointer):
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
    nil = value is None or value is MISSING or isinstance(value, NilPointer)
    return "<nil>" if nil else "func"


def sorted_items(mapping: Mapping[Any, Value]) -> list[tuple[Any, Value]]:
    """In the order in which Go ranges over and prints a map."""
    try:
        return sorted(mapping.items(), key=lambda item: item[0])
    except TypeError:
        return sorted(mapping.items(), key=lambda item: (type_name(item[0]), str(item[0])))
