"""A cache of answers about containers, valid until a name changes. It is filled in advance for the clients of a new
container.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

import dns.exception
import dns.flags
import dns.message

from rootless.network.dns.answers import ADDRESS_TYPES, Query

if TYPE_CHECKING:
    from rootless.network.dns.table import Names, View, Zone

    _Key: TypeAlias = tuple[View, bytes]

_MAX_KEPT = 4096
_ID = 2
"""Bytes at the beginning of a message, which the answer repeats (RFC 1035, section 4.1.1)."""
_PLAIN, _VALIDATED = dns.flags.RD, dns.flags.RD | dns.flags.AD
"""The flags of a query from glibc, and from musl, which wants to know whether answers are validated (RFC 6840, section 5.7). The
answers to both are the same: no container's name is."""


class KeptAnswers:
    """Answers without their id, by what they depend on: the networks that the client sees, and the query without its id."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._answers: dict[_Key, bytes] = {}
        self._keys: dict[str, list[_Key]] = {}
        """By the name that is asked for."""
        self._coming: deque[tuple[str, str]] = deque()
        """Networks, and names in them of which no client has asked yet."""

    def find(self, view: View, wire: bytes) -> bytes | None:
        """The answer to a query, if it is kept."""
        found = self._answers.get((view, wire[_ID:]))
        return None if found is None else wire[:_ID] + found

    def keep(self, view: View, wire: bytes, subject: str, answer: bytes) -> None:
        """Keep the answer to the query `wire`, which asks for the name `subject`; not one with several addresses: they take
        turns.
        """
        if int.from_bytes(answer[6:8], "big") > 1:
            return
        if len(self._answers) >= _MAX_KEPT:
            self._answers.clear()
            self._keys.clear()
        key = view, wire[_ID:]
        if key not in self._answers:
            self._keys.setdefault(subject, []).append(key)
        self._answers[key] = answer[_ID:]

    def change(self, before: Zone | None, after: Zone | None) -> None:
        """Forget the answers that are wrong after the members of a network have changed: those for names of the members that
        came and went, and for the names of addresses.
        """
        old = frozenset(before.members if before else ())
        new = frozenset(after.members if after else ())
        names = {name for member in old ^ new for name in member.names}
        zone = after or before
        if zone is None or not names:
            return
        for subject in ("", *names, *(f"{name}.{zone.name.lower()}" for name in names)):
            for key in self._keys.pop(subject, ()):
                del self._answers[key]
        coming = (member for member in zone.members if member in new - old)
        self._coming.extend((zone.id, name) for member in coming for name in member.names)

    @property
    def is_prepared(self) -> bool:
        return not self._coming

    def prepare(self) -> None:
        """Make the answers for the next name."""
        network, name = self._coming.popleft()
        for view, client in self._names.views(network).items():
            for kind in ADDRESS_TYPES:
                try:
                    query = dns.message.make_query(name, kind, id=0, flags=_PLAIN)
                    plain = query.to_wire()
                    asked = Query(plain, network, client)
                    answer = asked.answer(self._names)
                except (dns.exception.DNSException, UnicodeError):
                    return  # no client can ask for it
                if answer is None:
                    return  # the container has gone
                self.keep(view, plain, asked.subject, answer)
                query.flags = _VALIDATED
                self.keep(view, query.to_wire(), asked.subject, answer)
