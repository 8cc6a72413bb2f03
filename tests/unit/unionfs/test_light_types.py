"""`runtime_checkable` of light_types gives the answers of the one in typing."""

import typing

import pytest

from unionfs import light_types


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


@pytest.mark.parametrize("library", [typing, light_types], ids=["typing", "light_types"])
def test_isinstance_of_a_checkable_protocol_asks_for_every_method(library) -> None:
    @library.runtime_checkable
    class Closable(library.Protocol):
        """Doc."""

        def statfs(self) -> int: ...
        def close(self) -> None: ...

    assert isinstance(Whole(), Closable)
    assert isinstance(Delegating(), Closable)
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
