"""Stand-ins for `signal` and `socket` that cost less to import: the C modules below them.

The library's modules make an enumeration of their constants, and import `enum`, `selectors` and more for it
(docs/decisions/1300 has the figure). The C modules have the same functions and constants under the same names.
Constants are plain numbers; a socket has no `accept`, `makefile`, `dup` or `with`: close it with `close`.
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
