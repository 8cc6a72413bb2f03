"""Looks up users and groups in passwd(5) and group(5) of a root file system: functions of the files' contents. Pure.

A user is `user`, `user:group`, `uid`, `uid:gid` or a mixture; a
number needs no entry; a user with an entry brings its group and home, and the groups that list it
as a member when no group was given.
"""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_ID = (1 << 31) - 1


class Identity(NamedTuple):
    """`groups` are the supplementary ones, the primary group first."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


class Account(NamedTuple):
    """The calling account: names of the user and of its group, the user's home and full name."""

    user: str
    group: str
    home: str
    full_name: str


class UnknownUserError(Exception):
    """A name without an entry, or an id out of range. The message is one line."""


class _User(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: tuple[str, ...]


def _rows(content: bytes, min_fields: int) -> Iterator[list[str]]:
    for line in content.decode(errors="surrogateescape").split("\n"):
        fields = line.strip().split(":")
        if len(fields) >= min_fields and not line.startswith("#"):
            yield fields


def _users(passwd: bytes) -> Iterator[_User]:
    for fields in _rows(passwd, 4):
        if fields[2].isdecimal() and fields[3].isdecimal():
            home = fields[5] if len(fields) > 5 else ""
            yield _User(fields[0], int(fields[2]), int(fields[3]), home)


def _groups(group: bytes) -> Iterator[_Group]:
    for fields in _rows(group, 3):
        if fields[2].isdecimal():
            members = fields[3].split(",") if len(fields) > 3 else []
            yield _Group(fields[0], int(fields[2]), tuple(filter(None, members)))


def _number(text: str) -> int | None:
    if not text.isascii() or not text.removeprefix("-").isdecimal():
        return None
    if not 0 <= int(text) <= MAX_ID:
        raise UnknownUserError(f"uids and gids must be in range 0-{MAX_ID}")
    return int(text)


def find_group(text: str, group: bytes) -> int:
    """The id of a group given by name or number. A name that looks like a number is a name
    first."""
    for entry in _groups(group):
        if entry.name == text:
            return entry.gid
    number = _number(text)
    if number is None:
        raise UnknownUserError(f"unable to find group {text}: no matching entries in group file")
    return number


def find_identity(
    request: str, passwd: bytes, group: bytes, additional: Sequence[str] = ()
) -> Identity:
    """Who `request` is, with the additional groups named.

    Raises:
        UnknownUserError: a name has no entry.
    """
    user_part, _, group_part = request.partition(":")
    user_part = user_part or "0"
    users = tuple(_users(passwd))
    entry = next((u for u in users if u.name == user_part), None)
    if entry is None:
        number = _number(user_part)
        if number is None:
            raise UnknownUserError(
                f"unable to find user {user_part}: no matching entries in passwd file"
            )
        entry = next((u for u in users if u.uid == number), None) or _User("", number, 0, "/")
    groups: list[int] = []
    if group_part:
        gid = find_group(group_part, group)
    else:
        gid = entry.gid
        groups += [g.gid for g in _groups(group) if entry.name and entry.name in g.members]
    groups += [find_group(text, group) for text in additional]
    # The primary group too: a process that gives it up for another (setgid programs) would otherwise
    # no longer be refused what a group is refused (CVE-2022-36109).
    return Identity(entry.uid, gid, tuple(dict.fromkeys((gid, *groups))), entry.home or "/")


def entry_to_append(content: bytes, entry: str) -> bytes:
    """What has to be appended to a passwd(5) or group(5) file for it to have `entry`: nothing where
    the name or the number is taken."""
    name, _, number = entry.split(":")[:3]
    for fields in _rows(content, 3):
        if fields[0] == name or fields[2] == number:
            return b""
    separator = b"\n" if content and not content.endswith(b"\n") else b""
    return separator + entry.encode(errors="surrogateescape") + b"\n"
