"""The WWW-Authenticate header: the authentication schemes that a server accepts. Pure.

RFC 9110, 11.6.1. A header may hold several challenges, and several headers may come; names are
without regard to case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(
    rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))(?=[ \t]*(?:,|$))'
)
_SCHEME = re.compile(_TOKEN)
_TOKEN68 = re.compile(r"[ \t]+[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_BETWEEN = re.compile(r"[ \t,]*")
_LONGEST = 16 << 10


class Challenge(NamedTuple):
    """`scheme` and the names of `parameters` are in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Every challenge, in order. What does not follow the grammar ends the header it stands in."""
    found: list[tuple[str, dict[str, str]]] = []
    for header in headers:
        text, position, own = header[:_LONGEST], 0, False
        while True:
            between = _BETWEEN.match(text, position)
            position = between.end() if between else position
            if position == len(text):
                break
            parameter = _PARAMETER.match(text, position)
            if parameter is not None and own:
                quoted, bare = parameter[2], parameter[3]
                value = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                found[-1][1].setdefault(parameter[1].lower(), value)
                position = parameter.end()
                continue
            scheme = _SCHEME.match(text, position)
            if scheme is None:
                break
            found.append((scheme[0].lower(), {}))
            own, position = True, scheme.end()
            if (opaque := _TOKEN68.match(text, position)) and not _PARAMETER.match(
                text, position + 1
            ):
                position = opaque.end()
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)
