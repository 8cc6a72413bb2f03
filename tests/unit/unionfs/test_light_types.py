"""light_types does what `typing` and `enum` do: the same class bodies run through both."""

from __future__ import annotations

import copy
import enum
import pickle
import sys
import typing
from collections.abc import Callable
from types import SimpleNamespace, new_class

import pytest

from unionfs import light_types

REAL = SimpleNamespace(
    NamedTuple=typing.NamedTuple,
    Protocol=typing.Protocol,
    runtime_checkable=typing.runtime_checkable,
    Enum=enum.Enum,
    IntEnum=enum.IntEnum,
)
BOTH = pytest.mark.parametrize("library", [REAL, light_types], ids=["library", "light_types"])


def outcome(expression: Callable[[SimpleNamespace], object], classes: SimpleNamespace) -> object:
    """What an expression gives: its value, or the type of the exception that it raises."""
    try:
        return expression(classes)
    except Exception as error:
        return type(error)


# Named tuples.


def tuples(library) -> SimpleNamespace:
    class Point(library.NamedTuple):
        """A point."""

        x: int
        y: int = 2
        label: str = "none"
        """A docstring of a field is no value."""

        @property
        def sum(self) -> int:
            return self.x + self.y

        @classmethod
        def origin(cls) -> Point:
            return cls(0, 0)

        def __bool__(self) -> bool:
            return self.x != 0

    class Empty(library.NamedTuple):
        pass

    class Shown(library.NamedTuple):
        x: int

        def __repr__(self) -> str:
            return f"<{self.x}>"

    class Sub(Point):
        def double(self) -> int:
            return 2 * self.x

    return SimpleNamespace(Point=Point, Empty=Empty, Shown=Shown, Sub=Sub)


def match(value: object) -> object:
    match value:
        case (x, y, label):
            return ["tuple", x, y, label]
    return None


TUPLE_EXPRESSIONS = {
    "positional": lambda t: tuple(t.Point(1, 3, "a")),
    "defaults": lambda t: tuple(t.Point(1)),
    "keywords": lambda t: tuple(t.Point(label="b", x=1)),
    "mixed": lambda t: tuple(t.Point(1, label="b")),
    "missing": lambda t: t.Point(),
    "missing with a keyword": lambda t: t.Point(y=1),
    "too many": lambda t: t.Point(1, 2, "a", 4),
    "given twice": lambda t: t.Point(1, x=1),
    "unknown keyword": lambda t: t.Point(1, z=1),
    "too many and a keyword": lambda t: t.Point(1, 2, "a", 4, label="b"),
    "equal to a tuple": lambda t: t.Point(1, 2, "a") == (1, 2, "a"),
    "hash": lambda t: hash(t.Point(1, 2, "a")) == hash((1, 2, "a")),
    "order": lambda t: t.Point(1) < t.Point(2),
    "fields": lambda t: (t.Point._fields, t.Point.__match_args__, t.Empty._fields),
    "repr": lambda t: (repr(t.Point(1, label="c")), repr(t.Empty()), repr(t.Shown(3))),
    "str": lambda t: f"{t.Point(1)} {t.Point(1)!s}",
    "make": lambda t: tuple(t.Point._make([7, 8, "d"])),
    "make of too few": lambda t: t.Point._make([7]),
    "make of too many": lambda t: t.Point._make([7, 8, "d", 9]),
    "replace": lambda t: tuple(t.Point(1)._replace(y=9)),
    "replace of nothing": lambda t: t.Point(1)._replace() == t.Point(1),
    "asdict": lambda t: t.Point(1)._asdict(),
    "order of asdict": lambda t: list(t.Point(1, label="e")._asdict()),
    "property": lambda t: t.Point(4).sum,
    "class method": lambda t: tuple(t.Point.origin()),
    "truth": lambda t: (bool(t.Point(0)), bool(t.Point(1)), bool(t.Empty())),
    "set a field": lambda t: setattr(t.Point(1), "x", 2),
    "set an attribute": lambda t: setattr(t.Point(1), "z", 2),
    "delete a field": lambda t: delattr(t.Point(1), "x"),
    "copy": lambda t: (copy.copy(t.Point(1)) == t.Point(1), type(copy.copy(t.Point(1))).__name__),
    "deep copy": lambda t: type(copy.deepcopy(t.Point(1))).__name__,
    "new arguments": lambda t: t.Point(1).__getnewargs__(),
    "name and documentation": lambda t: (t.Point.__name__, t.Point.__doc__, t.Point.__module__),
    "index and slice": lambda t: (t.Point(1)[1], t.Point(1)[:2], len(t.Point(1))),
    "match by place": lambda t: match(t.Point(1)),
    "base": lambda t: (t.Point.__bases__, isinstance(t.Point(1), tuple)),
    "subclass": lambda t: (t.Sub(3).double(), tuple(t.Sub(3)), repr(t.Sub(3))),
    "subclass of a subclass's replace": lambda t: type(t.Sub(3)._replace(x=4)).__name__,
    "field of the class": lambda t: t.Point.x.__get__(t.Point(6)),
}


@pytest.mark.parametrize("name", TUPLE_EXPRESSIONS)
def test_named_tuple_gives_what_that_of_typing_gives(name) -> None:
    expression = TUPLE_EXPRESSIONS[name]
    assert outcome(expression, tuples(light_types)) == outcome(expression, tuples(REAL))


def default_first(library) -> type:
    class Wrong(library.NamedTuple):
        x: int = 1
        y: int

    return Wrong


def private_field(library) -> type:
    class Wrong(library.NamedTuple):
        _x: int

    return Wrong


def own_constructor(library) -> type:
    class Wrong(library.NamedTuple):
        x: int

        def __new__(cls, x: int): ...

    return Wrong


def own_replace(library) -> type:
    class Wrong(library.NamedTuple):
        x: int

        def _replace(self): ...

    return Wrong


def second_base(library) -> type:
    class Other: ...

    class Wrong(library.NamedTuple, Other):
        x: int

    return Wrong


@BOTH
@pytest.mark.parametrize(
    "body", [default_first, private_field, own_constructor, own_replace, second_base]
)
def test_body_that_makes_no_named_tuple_is_refused(body, library) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        body(library)


# Enumerations.


def enums(library) -> SimpleNamespace:
    class Color(library.Enum):
        """Colors."""

        RED = "red"
        GREEN = "green"
        CRIMSON = "red"
        """An alias."""

        @property
        def shout(self) -> str:
            return self.value.upper()

        @classmethod
        def first(cls) -> Color:
            return cls.RED

        @staticmethod
        def count() -> int:
            return 2

        def paint(self, thing: str) -> str:
            return f"{self.value} {thing}"

    class Number(library.IntEnum):
        ONE = 1
        TWO = 2
        EINS = 1

        def double(self) -> int:
            return 2 * self

    class Plain(library.Enum):
        NONE = 0
        SOME = 1

    return SimpleNamespace(Color=Color, Number=Number, Plain=Plain)


ENUM_EXPRESSIONS = {
    "name and value": lambda e: (e.Color.RED.name, e.Color.RED.value),
    "number's name and value": lambda e: (e.Number.TWO.name, e.Number.TWO.value),
    "by value": lambda e: e.Color("green") is e.Color.GREEN,
    "by unknown value": lambda e: e.Color("blue"),
    "by unknown number": lambda e: e.Number(3),
    "by unhashable value": lambda e: e.Color([]),
    "by member": lambda e: e.Number(e.Number.ONE) is e.Number.ONE,
    "by name": lambda e: e.Color["GREEN"] is e.Color.GREEN,
    "by name of an alias": lambda e: e.Color["CRIMSON"] is e.Color.RED,
    "by unknown name": lambda e: e.Color["BLUE"],
    "alias": lambda e: (e.Color.CRIMSON is e.Color.RED, e.Color.CRIMSON.name),
    "members": lambda e: {name: each.name for name, each in e.Color.__members__.items()},
    "iteration": lambda e: [each.name for each in e.Color] + [each.name for each in e.Number],
    "length": lambda e: (len(e.Color), len(e.Number)),
    "contains": lambda e: (e.Color.RED in e.Color, e.Number.ONE in e.Number),
    "repr": lambda e: (repr(e.Color.RED), repr(e.Number.TWO)),
    "str": lambda e: (str(e.Color.RED), str(e.Number.TWO)),
    "format": lambda e: (f"{e.Color.RED} {e.Color.RED!r:>20}", f"{e.Number.TWO} {e.Number.TWO:03}"),
    "number arithmetic": lambda e: (e.Number.ONE + 1, e.Number.TWO * 3, e.Number.TWO == 2),
    "number or": lambda e: (e.Number.ONE | e.Number.TWO, type(e.Number.ONE | e.Number.TWO)),
    "number order": lambda e: e.Number.ONE < e.Number.TWO,
    "number hash": lambda e: {1: "a"}[e.Number.ONE],
    "number as an index": lambda e: "abc"[e.Number.TWO],
    "no order": lambda e: e.Color.RED < e.Color.GREEN,
    "equality": lambda e: (e.Color.RED == e.Color.RED, e.Color.RED == "red", e.Plain.NONE == 0),
    "truth": lambda e: (bool(e.Plain.NONE), bool(e.Number.ONE)),
    "key": lambda e: {e.Color.RED: 1}[e.Color.CRIMSON],
    "property": lambda e: e.Color.RED.shout,
    "class method": lambda e: e.Color.first() is e.Color.RED,
    "static method": lambda e: e.Color.count(),
    "method": lambda e: e.Color.GREEN.paint("door"),
    "method of a number": lambda e: e.Number.TWO.double(),
    "isinstance": lambda e: (isinstance(e.Color.RED, e.Color), isinstance(e.Number.ONE, int)),
    "type": lambda e: type(e.Color.RED) is e.Color,
    "copy": lambda e: copy.copy(e.Color.RED) is e.Color.RED,
    "deep copy": lambda e: copy.deepcopy([e.Number.TWO])[0] is e.Number.TWO,
    "documentation": lambda e: (e.Color.__doc__, e.Color.__name__),
    "set a member": lambda e: setattr(e.Color, "RED", 1),
    "delete a member": lambda e: delattr(e.Color, "RED"),
    "set a name": lambda e: setattr(e.Color.RED, "name", "x"),
    "set a value": lambda e: setattr(e.Color.RED, "value", "x"),
    "set a number's value": lambda e: setattr(e.Number.ONE, "value", 9),
    "extend": lambda e: new_class("More", (e.Color,)),
}


@pytest.mark.parametrize("name", ENUM_EXPRESSIONS)
def test_enum_gives_what_that_of_enum_gives(name) -> None:
    expression = ENUM_EXPRESSIONS[name]
    assert outcome(expression, enums(light_types)) == outcome(expression, enums(REAL))


def tuple_member() -> None:
    class Pair(light_types.Enum):
        LEFT = (1, 2)


def float_member() -> None:
    class Half(light_types.Enum):
        HALF = 0.5


def automatic_member() -> None:
    class Next(light_types.Enum):
        FIRST = enum.auto()


def private_member() -> None:
    class Hidden(light_types.Enum):
        _FIRST = 1


def hook() -> None:
    class Hooked(light_types.Enum):
        _ignore_ = "x"


def nested_class() -> None:
    class Outer(light_types.Enum):
        class Inner: ...


@pytest.mark.parametrize(
    "body", [tuple_member, float_member, automatic_member, private_member, hook, nested_class]
)
def test_enum_body_that_is_not_supported_is_refused(body) -> None:
    with pytest.raises(TypeError, match="only public names"):
        body()


def test_member_takes_no_attribute_of_its_own() -> None:
    with pytest.raises(AttributeError):
        enums(light_types).Color.RED.extra = 1


class Pickled(light_types.Enum):
    ONE = 1


class PickledPoint(light_types.NamedTuple):
    x: int
    y: int = 2


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_values_are_pickled_and_come_back(protocol) -> None:
    both = (Pickled.ONE, PickledPoint(1))
    member, point = pickle.loads(pickle.dumps(both, protocol))
    assert member is Pickled.ONE
    assert (type(point), point) == (PickledPoint, (1, 2))


# Protocols.


class Whole:
    def statfs(self) -> int:
        return 1

    def close(self) -> None: ...


class Part:
    def close(self) -> None: ...


class Delegating:
    """As `unionfs.memory.FaultyLayer`."""

    def __getattr__(self, name: str) -> object:
        return getattr(Whole(), name)


@BOTH
def test_isinstance_of_a_checkable_protocol_asks_for_every_method(library) -> None:
    @library.runtime_checkable
    class Closable(library.Protocol):
        """Doc."""

        def statfs(self) -> int: ...
        def close(self) -> None: ...

    assert isinstance(Whole(), Closable)
    # Since Python 3.12 typing looks methods up without __getattr__.
    assert isinstance(Delegating(), Closable) or (library is REAL and sys.version_info >= (3, 12))
    assert not isinstance(Part(), Closable)
    assert not isinstance(None, Closable)


def test_isinstance_of_a_protocol_that_extends_a_checkable_one_is_refused() -> None:
    """typing checks the inherited part alone, which is never what is meant."""

    @light_types.runtime_checkable
    class Closable(light_types.Protocol):
        def close(self) -> None: ...

    class Stored(Closable, light_types.Protocol):
        def statfs(self) -> int: ...

    with pytest.raises(TypeError):
        isinstance(Whole(), Stored)


@BOTH
def test_class_that_extends_a_protocol_is_an_ordinary_class(library) -> None:
    class Closable(library.Protocol):
        def close(self) -> None: ...

        def twice(self) -> str:
            return "twice"

    class File(Closable):
        def __init__(self, name: str) -> None:
            self.name = name

        def close(self) -> None: ...

    assert File("a").name == "a"
    assert File("a").twice() == "twice"
    assert isinstance(File("a"), File)
