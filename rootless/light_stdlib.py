"""`signal` and `socket` of the standard library, without what their Python halves import.

Those make an enumeration of every constant, for which they import `enum`, `selectors` and their like:
7 ms of a start that needs none of it (docs/decisions/1300). The halves in C have the same functions
under the same names; numbers are plain, and a socket is closed with `close` and not by `with`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
else:
    import _signal as signal
    import _socket as socket

__all__ = ["signal", "socket"]
