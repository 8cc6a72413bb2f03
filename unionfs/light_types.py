"""What classes are made of: `NamedTuple`, `Protocol` and `Enum`, without what importing them costs.

Importing `typing` and `enum` takes 12 ms, and `typing` takes 0.2 ms more for each class that it makes of
a NamedTuple, because collections.namedtuple compiles a constructor from text: together a good half of
a start (docs/decisions/1300). A type checker sees the real ones; at run time the stand-ins below do
as much of the same as this project uses. `OrderedDict` and `deque` are those of `collections`,
`partial` is that of `functools`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import OrderedDict, deque
    from collections.abc import Callable, Iterable, Iterator
    from enum import Enum, IntEnum, IntFlag
    from functools import partial
    from typing import NamedTuple, Protocol, runtime_checkable

    __all__ = [
        "Enum",
        "IntEnum",
        "IntFlag",
        "NamedTuple",
        "OrderedDict",
        "Protocol",
        "deque",
        "partial",
        "runtime_checkable",
    ]
else:
    # The module in C that `collections` takes them from; _tuplegetter is what namedtuple uses.
    from _collections import OrderedDict, _tuplegetter, deque
    from _functools import partial

    class Protocol:
        """typing.Protocol: says what others have to offer."""

        __slots__ = ()

    class _CheckableType(type):
        """Lets isinstance ask whether an object has every method of a protocol."""

        def __instancecheck__(cls, instance: object) -> bool:
            methods = cls.__dict__.get("_methods")
            if methods is None:
                raise TypeError(f"{cls.__name__} is not a runtime-checkable protocol")
            return all(hasattr(instance, method) for method in methods)

    def runtime_checkable(protocol: type) -> type:
        """typing.runtime_checkable, for a protocol of methods that extends no other one."""
        if protocol.__bases__ != (Protocol,):
            raise TypeError(f"{protocol.__name__} extends another protocol")
        body = {name: value for name, value in vars(protocol).items() if callable(value)}
        made = {"__doc__": protocol.__doc__, "__module__": protocol.__module__, **body}
        return _CheckableType(protocol.__name__, (), {**made, "_methods": tuple(body)})

    class _NamedTupleType(type):
        """Makes a tuple with named fields of a class body: its annotations are the fields."""

        def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, object]) -> type:
            if bases != (NamedTuple,):
                return super().__new__(mcs, name, bases, body)
            fields = tuple(body.get("__annotations__", ()))
            defaults = {field: body.pop(field) for field in fields if field in body}
            body |= {"__slots__": (), "_fields": fields, "__match_args__": fields}
            body |= {field: _tuplegetter(place, None) for place, field in enumerate(fields)}
            made = super().__new__(mcs, name, (tuple,), {**_METHODS, **body})
            made.__new__ = _constructor(fields, defaults)
            return made

    def _constructor(fields: tuple[str, ...], defaults: dict[str, object]) -> Callable[..., object]:
        count, make = len(fields), tuple.__new__
        needed, last = count - len(defaults), tuple(defaults.values())

        def construct(cls: type, *values: object, **named: object) -> object:
            # Most calls give the fields by position, and some are made for every request.
            if not named:
                if len(values) == count:
                    return make(cls, values)
                if needed <= len(values) < count:
                    return make(cls, values + last[len(values) - needed :])
            given = dict(zip(fields, values))  # noqa: B905 - too many are seen below
            whole = {**defaults, **given, **named}
            try:
                made = make(cls, [whole.pop(field) for field in fields])
            except KeyError as error:
                raise TypeError(f"{cls.__name__}() misses {error}") from None
            if whole or len(values) > count or not given.keys().isdisjoint(named):
                raise TypeError(f"{cls.__name__}() takes once each: {', '.join(fields)}")
            return made

        return construct

    def _make(cls: type, values: Iterable[object]) -> object:
        made = tuple.__new__(cls, values)
        if len(made) != len(cls._fields):
            raise TypeError(f"{cls.__name__} has {len(cls._fields)} fields, not {len(made)}")
        return made

    def _replace(self: tuple, /, **changes: object) -> object:
        made = tuple.__new__(type(self), map(changes.pop, self._fields, self))
        if changes:
            raise ValueError(f"{type(self).__name__} has no {', '.join(changes)}")
        return made

    def _asdict(self: tuple) -> dict[str, object]:
        return dict(zip(self._fields, self, strict=True))

    def _represent(self: tuple) -> str:
        items = (f"{field}={value!r}" for field, value in self._asdict().items())
        return f"{type(self).__name__}({', '.join(items)})"

    _METHODS = {
        "_make": classmethod(_make),
        "_replace": _replace,
        "_asdict": _asdict,
        "__repr__": _represent,
        "__getnewargs__": lambda self: tuple(self),  # noqa: PLW0108 - a method, which `tuple` is not
    }
    NamedTuple = type.__new__(_NamedTupleType, "NamedTuple", (), {"__slots__": ()})

    class _EnumType(type):
        """Makes members of the texts and numbers of a class body."""

        def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, object]) -> type:
            made = super().__new__(mcs, name, bases, body)
            made._members = {}
            for member, value in body.items():
                if isinstance(value, int | str) and not member.startswith("_"):
                    setattr(made, member, made._add(member, value))
            return made

        def _add(cls, name: str, value: int | str) -> object:
            member = int.__new__(cls, value) if issubclass(cls, int) else object.__new__(cls)
            member.name, member.value = name, value
            return cls._members.setdefault(value, member)

        def __call__(cls, value: object) -> object:
            try:
                return cls._members[value]
            except (KeyError, TypeError):
                raise ValueError(f"{value!r} is not a valid {cls.__name__}") from None

        def __iter__(cls) -> Iterator[object]:
            return iter(cls._members.values())

        def __len__(cls) -> int:
            return len(cls._members)

        def __getitem__(cls, name: str) -> object:
            return {each.name: each for each in cls}[name]

    class Enum(metaclass=_EnumType):
        """enum.Enum: each member is one object, with `name` and `value`."""

        def __repr__(self) -> str:
            return f"<{type(self).__name__}.{self.name}: {self.value!r}>"

        def __reduce__(self) -> tuple[object, ...]:
            return type(self), (self.value,)

    class IntEnum(int, Enum):
        """enum.IntEnum: the members are numbers."""

        __str__ = int.__repr__

    class IntFlag(int, Enum):
        """enum.IntFlag: the members are bits; what is made of several is a plain number."""

        __str__ = int.__repr__
