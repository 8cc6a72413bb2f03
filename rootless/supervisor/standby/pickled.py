"""Serializes a monitor or a client for a process that has its descriptors under the same numbers."""

from __future__ import annotations

import select
import sys

from rootless.light_stdlib import socket
from unionfs.light_types import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pickle import PickleError, Pickler, Unpickler
    from types import ModuleType
    from typing import NoReturn, TypeAlias

    _Reduced: TypeAlias = tuple[Callable[..., object], tuple[int | float | str | None, ...]]
else:
    # The half of `pickle` in C, without what it takes to read its streams in Python.
    from _pickle import PickleError, Pickler, Unpickler


class Resumable(Protocol):
    """The monitor or the client, as this package knows it."""

    def resume(self) -> NoReturn:
        """Go on."""


class _Pickler(Pickler):
    """Knows sockets, epoll(7) and modules too."""

    def reducer_override(self, value: object) -> _Reduced:
        if isinstance(value, socket.socket):
            number = value.fileno()
            return (_socket, (number, value.gettimeout())) if number >= 0 else (_closed_socket, ())
        if isinstance(value, select.epoll):
            return _epoll, (value.fileno(),)
        if isinstance(value, type(sys)):
            return _module, (value.__name__,)
        other: _Reduced = NotImplemented  # as `pickle` wants it
        return other


def pickled(program: Resumable) -> bytes:
    """Raises TypeError if it has what cannot be kept: a mapping of memory, a lock, a function that is defined in another."""
    from io import BytesIO

    stream = BytesIO()
    try:
        _Pickler(stream, protocol=4).dump(program)
    except (AttributeError, PickleError) as error:
        raise TypeError(str(error)) from error
    return stream.getvalue()


def unpickled(data: bytes) -> Resumable:
    """The same again."""
    from io import BytesIO

    program: Resumable = Unpickler(BytesIO(data)).load()
    return program


def _module(name: str) -> ModuleType:
    __import__(name)
    return sys.modules[name]


def _socket(number: int, timeout: float | None) -> socket.socket:
    made = socket.socket(fileno=number)
    made.settimeout(timeout)
    return made


def _epoll(number: int) -> select.epoll:
    return select.epoll.fromfd(number)


def _closed_socket() -> socket.socket:
    closed = socket.socket(socket.AF_UNIX)
    closed.close()
    return closed
