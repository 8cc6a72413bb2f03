"""The value of --chmod: an octal number, or what chmod(1) takes. Pure."""

from __future__ import annotations

import re
import stat

from rootless.build.errors import BuildError

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([rwxXst]*|[ugo])(?=[-+=]|$)")
_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o1007}
_LARGEST = 0o7777
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111}


class ModeChange:
    """A value of --chmod. Raises BuildError for one that is none."""

    def __init__(self, text: str) -> None:
        self.octal: int | None = None
        """The mode that an octal number sets."""
        if re.fullmatch(r"[0-7]+", text):
            self.octal = int(text, 8)
            if self.octal > _LARGEST:
                raise BuildError(
                    f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
                )
            return
        self._clauses = text.split(",")
        if not all(map(_CLAUSE.fullmatch, self._clauses)):
            raise BuildError(f"invalid chmod parameter: '{text}': invalid syntax")

    def apply(self, mode: int) -> int:
        """The mode of a file whose mode was `mode`; the type stays."""
        kind, bits = stat.S_IFMT(mode), stat.S_IMODE(mode)
        if self.octal is not None:
            return kind | self.octal
        for clause in self._clauses:
            found = _CLAUSE.fullmatch(clause)
            assert found is not None  # the constructor has looked
            who = sum(_WHO[letter] for letter in set(found[1].replace("a", "ugo") or "ugo"))
            for operator, letters in _ACTION.findall(found[2]):
                bits = _changed(bits, who, operator, _bits(letters, bits, who, stat.S_ISDIR(mode)))
        return kind | bits


def _bits(letters: str, bits: int, who: int, is_directory: bool) -> int:
    if letters in ("u", "g", "o") and letters:
        own = bits >> {"u": 6, "g": 3, "o": 0}[letters] & 7
        return (own * 0o111) & who
    found = 0
    for letter in letters:
        if letter == "X":
            found |= 0o111 if is_directory or bits & 0o111 else 0
        elif letter == "s":
            found |= 0o6000 & who
        elif letter == "t":
            found |= 0o1000
        else:
            found |= _BITS[letter]
    return found & (who | 0o1000)


def _changed(bits: int, who: int, operator: str, wanted: int) -> int:
    if operator == "+":
        return bits | wanted
    if operator == "-":
        return bits & ~wanted
    return (bits & ~who) | wanted
