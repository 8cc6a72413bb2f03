"""Ranges of IP addresses, and addresses as numbers."""

from __future__ import annotations

from rootless.light_stdlib import socket
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Range(NamedTuple):
    """The addresses whose first `prefix` bits are those of `base`. `bits` is 32 or 128."""

    base: int
    prefix: int
    bits: int

    @property
    def size(self) -> int:
        return 1 << (self.bits - self.prefix)

    @property
    def last(self) -> int:
        return self.base + self.size - 1

    @property
    def first_host(self) -> int:
        """The first address that an interface can have: not the network's own, except in a subnet of two or one."""
        return self.base + (1 if self.size > 2 else 0)

    @property
    def last_host(self) -> int:
        """The last one: not the broadcast address of IPv4."""
        return self.last - (1 if self.bits == 32 and self.size > 2 else 0)

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.base <= address <= self.last

    def overlaps(self, other: Range) -> bool:
        return self.bits == other.bits and self.base <= other.last and other.base <= self.last

    def first_overlap(self, others: Iterable[Range]) -> Range | None:
        """The first of the others that overlaps with this one."""
        return next(filter(self.overlaps, others), None)

    def text(self, address: int) -> str:
        """An address of the range."""
        family = socket.AF_INET if self.bits == 32 else socket.AF_INET6
        return socket.inet_ntop(family, address.to_bytes(self.bits // 8, "big"))

    def __str__(self) -> str:
        return f"{self.text(self.base)}/{self.prefix}"


def parse_address(text: str) -> tuple[int, int]:
    """The number of an address, and how many bits it has. Raises ValueError."""
    family, bits = (socket.AF_INET6, 128) if ":" in text else (socket.AF_INET, 32)
    try:
        return int.from_bytes(socket.inet_pton(family, text), "big"), bits
    except OSError:
        raise ValueError(text) from None


def parse_range(text: str) -> Range:
    """`ADDRESS/PREFIX`; bits beyond the prefix are cleared. Raises ValueError."""
    address, slash, length = text.partition("/")
    number, bits = parse_address(address)
    if not slash or not length.isascii() or not length.isdecimal() or int(length) > bits:
        raise ValueError(text)
    prefix = int(length)
    return Range(number >> (bits - prefix) << (bits - prefix), prefix, bits)
