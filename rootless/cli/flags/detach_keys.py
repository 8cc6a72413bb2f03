"""--detach-keys."""

from __future__ import annotations

from rootless.errors import UsageError


def parse_detach_keys(text: str) -> bytes:
    """The bytes of docker's --detach-keys: characters and `ctrl-` with a letter or one of @[\\]^_,
    separated by commas.

    Raises UsageError.
    """
    return bytes(_byte_of(key, text) for key in text.split(","))


def _byte_of(key: str, text: str) -> int:
    if len(key) == 1 and key.isascii():
        return ord(key)
    if key.lower() == "del":
        return 0x7F
    prefix, character = key[:-1].lower(), key[-1:].upper()
    if prefix == "ctrl-" and "@" <= character <= "_":
        return ord(character) - ord("@")
    raise UsageError(
        f"invalid detach keys ({text}): unknown key {key!r}",
        hint="a key is a character, or ctrl- and one of a-z @ [ \\ ] ^ _; commas separate keys",
    )
