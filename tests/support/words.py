"""Words of a Dockerfile read by the usual rules."""

from __future__ import annotations

from collections.abc import Mapping

from rootless.dockerfile.syntax.words import DEFAULT_ESCAPE, Rules, expand_with


def expand(text: str, variables: Mapping[str, str], escape: str = DEFAULT_ESCAPE) -> str:
    """One word or one value: variables replaced, quotes and escapes removed, white space kept."""
    return expand_with(text, variables, Rules(escape)).text


def expand_words(
    text: str, variables: Mapping[str, str], escape: str = DEFAULT_ESCAPE
) -> tuple[str, ...]:
    """Like `expand`, but split at white space, that of unquoted variables included."""
    return expand_with(text, variables, Rules(escape)).words
