"""The exec form: arguments as a JSON array of strings. Pure."""

from __future__ import annotations

import re

from rootless.dockerfile.characters import SPACE
from rootless.dockerfile.errors import DockerfileError
from rootless.light_json import loads

_SURROGATE = re.compile("[\ud800-\udfff]")


def json_words(text: str) -> tuple[str, ...] | None:
    """The words of the exec form; None for anything that is not a JSON array, which is the shell form. Raises
    DockerfileError for an array with other values than strings."""
    words = _array(text)
    if words is None:
        return None
    if not all(isinstance(word, str) for word in words):
        raise DockerfileError(
            "when using JSON array syntax, arrays must be comprised of strings only",
            is_lexical=True,
        )
    # Half of a surrogate pair is no character. Go replaces it.
    return tuple(_SURROGATE.sub("\ufffd", str(word)) for word in words)


def is_json_form(text: str) -> bool:
    """Whether `json_words` finds words."""
    words = _array(text)
    return words is not None and all(isinstance(word, str) for word in words)


def _array(text: str) -> list[object] | None:
    text = text.lstrip(SPACE)
    if not text.startswith("["):
        return None
    try:
        found: object = loads(_SURROGATE.sub("\ufffd", text).encode())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None
