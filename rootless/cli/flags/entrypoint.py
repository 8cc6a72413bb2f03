"""--entrypoint with several words, as podman takes them: `["program", "word"]`. Pure."""

from __future__ import annotations

import json

from rootless.errors import UsageError


def parse_entrypoint(text: str) -> list[str]:
    """The program and its first arguments; of what is no array of strings, the text as the name of a program. Raises
    UsageError for an array without a program."""
    try:
        words = json.loads(text)
    except ValueError:
        return [text]
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return [text]
    if not words or not words[0]:
        raise UsageError(f"--entrypoint: {text} names no program")
    return words
