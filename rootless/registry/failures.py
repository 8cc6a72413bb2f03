"""Errors of a registry and of the connection to it, in Docker's words. Pure.

distribution-spec, Error Codes: the body of a refusal is `{"errors": [{"code", "message", "detail"}]}`.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from rootless.errors import NotFoundError, RootlessError


class RegistryError(RootlessError):
    """A registry answered with an error or an invalid answer."""

    code = "registry"


class UnreachableError(RegistryError):
    """No answer: no route, no address, no trusted certificate, or a timeout."""

    code = "registry-unreachable"


class DeniedError(RegistryError):
    """The registry requires credentials, or refuses those that it got."""

    code = "registry-denied"


class UnknownError(NotFoundError):
    """The registry has no such manifest, blob or repository."""

    code = "registry-unknown"


class Problem(NamedTuple):
    """One error of a registry's answer."""

    code: str
    message: str

    def __str__(self) -> str:
        """As Docker's daemon shows it: the code in words, then the message."""
        words = self.code.lower().replace("_", " ")
        return f"{words}: {self.message}" if words else self.message


# An answer to HEAD has no body.
_USUAL = {
    401: Problem("UNAUTHORIZED", "authentication required"),
    403: Problem("DENIED", "requested access to the resource is denied"),
}


def problems_of(status: int, body: bytes) -> tuple[Problem, ...]:
    """The message in the body of a refusal; never empty, whatever the body is."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    found: list[Problem] = []
    if isinstance(document, dict):
        errors = document.get("errors")
        found += [
            Problem(_text(error.get("code")) or "UNKNOWN", _text(error.get("message")))
            for error in (errors if isinstance(errors, list) else [])
            if isinstance(error, dict)
        ]
        # Token servers and proxies have forms of their own.
        if not found and (text := _text(document.get("details")) or _text(document.get("message"))):
            found.append(Problem("", text))
    return tuple(found) or (_USUAL.get(status) or Problem("", f"the registry answered {status}"),)


def _text(value: object) -> str:
    """At most 500 characters, with blanks for those that a terminal would not print."""
    if not isinstance(value, str):
        return ""
    return "".join(letter if letter.isprintable() else " " for letter in value[:500])
