"""The keys that detach a terminal from its container. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT = b"\x10\x11"
"""Docker's: ctrl-p ctrl-q."""

_CTRL_C = 3
_HINT_AFTER = 3


def describe_keys(keys: bytes) -> str:
    """The keys as a user reads them: ctrl-p ctrl-q."""
    return " ".join(f"ctrl-{chr(key + 64).lower()}" if key < 32 else chr(key) for key in keys)


class KeyFilter:
    """Looks for the keys in what is typed. `detach` is called once, when all have been typed in a row;
    what is typed later is dropped. `interrupted` is called at the third ctrl-c in a row.

    The first keys are held back until the next is typed, or until `release`: then the container gets them,
    and the rest of the keys still detach.
    """

    def __init__(
        self, keys: bytes, detach: Callable[[], None], interrupted: Callable[[], None]
    ) -> None:
        self._keys = keys
        self._detach = detach
        self._interrupted = interrupted
        self._matched = 0
        self._passed = 0
        """Of the matched keys, how many the container has got."""
        self._interrupts = 0
        self._is_detached = False

    def __call__(self, typed: bytes) -> bytes:
        """What of it, and of keys held back before, goes to the container."""
        passed = bytearray()
        for key in b"" if self._is_detached else typed:
            self._count_interrupts(key)
            if key != self._keys[self._matched]:
                # The first keys were no part of the sequence after all.
                passed += self.release()
                self._matched = self._passed = 0
            if key == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self._is_detached = True
                    self._detach()
                    break
            else:
                passed.append(key)
        return bytes(passed)

    @property
    def holds(self) -> bool:
        """Whether keys are held back."""
        return self._passed < self._matched and not self._is_detached

    def release(self) -> bytes:
        """The keys that are held back, which now go to the container."""
        held = self._keys[self._passed : self._matched]
        self._passed = self._matched
        return held

    def _count_interrupts(self, key: int) -> None:
        self._interrupts = self._interrupts + 1 if key == _CTRL_C else 0
        if self._interrupts == _HINT_AFTER:
            self._interrupts = 0
            self._interrupted()
