"""Stand-ins for `typing.NamedTuple`, `typing.Protocol` and `enum.Enum` that cost less to import.

Importing `typing` and `enum` and making this project's classes with them takes a quarter of a start's
processor time (docs/decisions/1300 has the figures of each). Type checkers see the real ones. At run
time the stand-ins below have the behaviour of the originals for everything that they accept
(tests/unit/unionfs/test_light_types.py runs the same class bodies through both), and raise TypeError
while a class is made for what they do not support. What a type checker refuses, such as an instance of
a Protocol, is not checked again. `OrderedDict` and `deque` are those of `collections`, `partial` is
that of `functools`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import OrderedDict, deque
    from collections.abc import Callable, Iterable, Iterator
    from enum import Enum, IntEnum
    from functools import partial
    from typing import NamedTuple, Protocol, runtime_checkable

    __all__ = [
        "Enum",
        "IntEnum",
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
        """typing.Protocol: a base for type checkers only."""

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
        """Makes a tuple type from a class body: its annotations are the fields."""

        def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, object]) -> type:
            if NamedTuple not in bases:
                return super().__new__(mcs, name, bases, body)
            if bases != (NamedTuple,):
                raise TypeError(f"{name}: a NamedTuple has no other base")
            fields = tuple(body.get("__annotations__", ()))
            defaults = {field: body.pop(field) for field in fields if field in body}
            if fields[len(fields) - len(defaults) :] != tuple(defaults):
                raise TypeError(f"{name}: a field without a default follows one with a default")
            if not _RESERVED.isdisjoint(body):
                raise TypeError(
                    f"{name}: {', '.join(_RESERVED & body.keys())} cannot be overridden"
                )
            for field in fields:
                if field[0] == "_":
                    raise TypeError(f"{name}: field {field} starts with an underscore")
            body |= {"__slots__": (), "_fields": fields, "__match_args__": fields}
            body |= {field: _tuplegetter(index, None) for index, field in enumerate(fields)}
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
    _RESERVED = frozenset(
        (
            "__new__",
            "__init__",
            "__slots__",
            "__getnewargs__",
            "_fields",
            "_make",
            "_replace",
            "_asdict",
        )
    )
    NamedTuple = type.__new__(_NamedTupleType, "NamedTuple", (), {"__slots__": ()})

    class _EnumType(type):
        """Makes members of the strings and numbers of a class body."""

        def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, object]) -> type:
            for base in bases:
                if getattr(base, "_by_value", None):
                    raise TypeError(f"{name}: an Enum with members cannot be extended")
            values = {each: value for each, value in body.items() if _is_member(name, each, value)}
            made = super().__new__(mcs, name, bases, body)
            by_value, by_name = {}, {}
            for each, value in values.items():
                if value not in by_value:
                    member = (
                        int.__new__(made, value) if int in made.__mro__ else object.__new__(made)
                    )
                    member.__dict__.update(name=each, value=value)
                    by_value[value] = member
                by_name[each] = by_value[value]
                type.__setattr__(made, each, by_value[value])
            type.__setattr__(made, "_by_value", by_value)
            type.__setattr__(made, "__members__", by_name)
            return made

        def __call__(cls, value: object) -> object:
            try:
                return cls._by_value[value]
            except (KeyError, TypeError):
                raise ValueError(f"{value!r} is not a valid {cls.__qualname__}") from None

        def __iter__(cls) -> Iterator[object]:
            return iter(cls._by_value.values())

        def __len__(cls) -> int:
            return len(cls._by_value)

        def __getitem__(cls, name: str) -> object:
            return cls.__members__[name]

        def __setattr__(cls, name: str, value: object) -> None:
            raise AttributeError(f"{cls.__name__}.{name} cannot be set")

        def __delattr__(cls, name: str) -> None:
            raise AttributeError(f"{cls.__name__}.{name} cannot be deleted")

    def _is_member(enum: str, name: str, value: object) -> bool:
        if name.startswith("__") or hasattr(value, "__get__"):
            return False  # of every class, or a method
        if name.startswith("_") or not isinstance(value, int | str):
            raise TypeError(
                f"{enum}.{name}: only public names with a number or a string can be members"
            )
        return True

    class Enum(metaclass=_EnumType):
        """enum.Enum: each member is one object, with `name` and `value`."""

        def __repr__(self) -> str:
            return f"<{type(self).__name__}.{self.name}: {self.value!r}>"

        def __str__(self) -> str:
            return f"{type(self).__name__}.{self.name}"

        def __reduce__(self) -> tuple[object, ...]:
            return type(self), (self.value,)

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(f"{self!r}: {name} cannot be set")

        def __delattr__(self, name: str) -> None:
            raise AttributeError(f"{self!r}: {name} cannot be deleted")

    class IntEnum(int, Enum):
        """enum.IntEnum: the members are numbers. `|` and `&` of them are plain numbers: flags use it too."""

        __repr__ = Enum.__repr__
        __str__ = int.__repr__
