"""The flags of an instruction: `--name` and `--name=value`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rootless.dockerfile.characters import SPACE
from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.suggestions import did_you_mean


def split_flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """The words that begin with `--`, without quotes and escapes, and the text after them. `--` alone ends the
    flags and is none of them."""
    flags: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position] in SPACE:
            position += 1
        if not text.startswith("--", position):
            return tuple(flags), text[position:]
        flag, position = _flag(text, position, escape)
        if flag == "--":
            return tuple(flags), text[position:]
        flags.append(flag)


def _flag(text: str, position: int, escape: str) -> tuple[str, int]:
    """The word at `position`, and where it ends."""
    letters: list[str] = []
    quote = ""
    while position < len(text) and (quote or text[position] not in SPACE):
        letter = text[position]
        position += 1
        if letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        elif letter != escape:
            letters.append(letter)
        elif position < len(text):
            letters.append(text[position])
            position += 1
    return "".join(letters), position


class Flags:
    """The flags of one instruction by name."""

    def __init__(
        self,
        flags: Sequence[str],
        *,
        texts: Collection[str] = (),
        switches: Collection[str] = (),
        lists: Collection[str] = (),
    ) -> None:
        """`texts` take a value, `switches` may have `true` or `false`, `lists` may be there several times.
        Raises DockerfileError for a flag that is none of these, or that is there twice."""
        self._values: dict[str, list[str]] = {}
        for flag in flags:
            name, equals, value = flag[2:].partition("=")
            if name not in texts and name not in switches and name not in lists:
                known = sorted([*texts, *switches, *lists])
                raise DockerfileError(
                    f"unknown flag: --{name}{did_you_mean(name, known)}", word=flag
                )
            if name in self._values and name not in lists:
                raise DockerfileError(f"duplicate flag specified: --{name}", word=flag)
            if name in switches:
                value = _switch(name, equals, value, flag)
            elif not equals:
                raise DockerfileError(f"missing a value on flag: --{name}", word=flag)
            self._values.setdefault(name, []).append(value)

    def text(self, name: str, default: str = "") -> str:
        return self._values.get(name, [default])[0]

    def switch(self, name: str) -> bool | None:
        """None: the flag is absent."""
        values = self._values.get(name)
        return None if values is None else values[0] == "true"

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(self._values.get(name, ()))


def _switch(name: str, equals: str, value: str, flag: str) -> str:
    if equals and not value:
        raise DockerfileError(f"missing a value on flag: --{name}", word=flag)
    if value.lower() not in ("", "true", "false"):
        raise DockerfileError(f"expecting boolean value for flag --{name}, not: {value}", word=flag)
    return value.lower() or "true"
