"""The entry of an unsupported command or option: the reason, and an alternative."""

from __future__ import annotations

from typing import NamedTuple


class Missing(NamedTuple):
    """Why something is missing, as a clause, and what to use, as an instruction; that may be empty."""

    why: str
    instead: str = ""
