"""Reads rootless.toml, the site's and the user's. An error is one line with the file, the line and the key."""

from __future__ import annotations

import os
import stat
import tomllib

from rootless.configuration.values import CHOWN, JOIN, KEYS, NETWORKS, Configuration, merged
from rootless.errors import InvalidDocumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LOCK = "lock"
_MOST = 1 << 20
_LISTS = ("binds", "environment", "image_stores", _LOCK)
_WORDS = {"network": NETWORKS, "join": JOIN, "chown": CHOWN}


def read_configuration(site: str, user: str) -> Configuration:
    """The settings of the two files; either may be missing. Raises InvalidDocumentError."""
    of_site = _read(site, is_site=True)
    of_user = _read(user, is_site=False)
    if of_user is not None and of_site is not None:
        for key in KEYS:
            if key in of_site.locked and key in of_user.files:
                raise _error(user, _text(user), key, f"{site} has locked {key}")
    return merged(of_site or Configuration(), of_user or Configuration())


def _read(path: str, *, is_site: bool) -> Configuration | None:
    try:
        # Opening a fifo would wait for a writer.
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(opened, "rb") as file:
            is_fifo = stat.S_ISFIFO(os.fstat(opened).st_mode)
            data = b"" if is_fifo else file.read(_MOST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidDocumentError(
            f"cannot read {path}: {(error.strerror or '').lower()}"
        ) from None
    if is_fifo or len(data) > _MOST:
        reason = "is a fifo" if is_fifo else f"has more than {_MOST} bytes"
        raise InvalidDocumentError(f"cannot read {path}: it {reason}")
    return parse_configuration(data, path, is_site=is_site)


def parse_configuration(data: bytes, path: str, *, is_site: bool) -> Configuration:
    """The settings of one file. Raises InvalidDocumentError."""
    text = data.decode(errors="surrogateescape")
    try:
        document = tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise InvalidDocumentError(f"{path}: it is not UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidDocumentError(f"{path}: {_lower(str(error))}") from None
    for key, value in document.items():
        if key not in {*KEYS, _LOCK}:
            raise _error(path, text, key, "unknown key", f"the keys are {', '.join(KEYS)}")
        _check(path, text, key, value, is_site=is_site)
    lists = {key: tuple(document.get(key, ())) for key in _LISTS}
    texts = {key: document.get(key, "") for key in ("network", "uppers", "join", "chown")}
    return Configuration(
        binds=lists["binds"],
        environment=lists["environment"],
        image_stores=lists["image_stores"],
        **texts,
        files={key: (path,) for key in document if key != _LOCK},
        locked=dict.fromkeys(lists[_LOCK], path),
    )


def _check(path: str, text: str, key: str, value: object, *, is_site: bool) -> None:
    if key == _LOCK and not is_site:
        raise _error(path, text, key, "only the file of the site can lock a key")
    if key in _LISTS:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise _error(path, text, key, "it must be a list of strings")
        for each in value:
            _check_entry(path, text, key, each)
        return
    if not isinstance(value, str) or not value:
        raise _error(path, text, key, "it must be a string")
    words: Sequence[str] = _WORDS.get(key, ())
    if words and value not in words:
        raise _error(path, text, key, f"{value!r} is not one of {', '.join(words)}")
    if key == "uppers" and not value.startswith(("/", "$")):
        raise _error(path, text, key, f"{value!r} is not an absolute path")


def _check_entry(path: str, text: str, key: str, entry: str) -> None:
    if key == _LOCK and entry not in KEYS:
        raise _error(path, text, key, f"unknown key {entry!r}", f"the keys are {', '.join(KEYS)}")
    if key == "image_stores" and not entry.startswith("/"):
        raise _error(path, text, key, f"{entry!r} is not an absolute path")
    if key == "binds" and not entry.startswith("/"):
        raise _error(path, text, key, f"{entry!r} does not begin with an absolute path")
    if key == "environment" and not entry.partition("=")[0]:
        raise _error(path, text, key, f"{entry!r} has no name")


def _error(
    path: str, text: str, key: str, reason: str, hint: str | None = None
) -> InvalidDocumentError:
    return InvalidDocumentError(f"{path}: line {_line(text, key)}: {key}: {reason}", hint=hint)


def _line(text: str, key: str) -> int:
    """The number of the first line that begins with the key, bare or quoted, or its table."""
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip().lstrip("[").lstrip()
        for spelling in (key, f'"{key}"', f"'{key}'"):
            rest = word.removeprefix(spelling)
            if rest != word and not rest[:1].isalnum() and rest[:1] not in {"_", "-"}:
                return number
    return 1


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
