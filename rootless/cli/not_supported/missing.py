"""Why a command or an option is missing, and what to use."""

from __future__ import annotations

from typing import NamedTuple


class Missing(NamedTuple):
    """Why something is missing, as a clause, and what to use, as an instruction; that may be empty."""

    why: str
    instead: str = ""
