"""Names of CDI devices: `vendor.com/class=name`. Pure."""

from __future__ import annotations

from unionfs.light_types import NamedTuple

_ALPHA = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_ALNUM = _ALPHA | frozenset("0123456789")


class QualifiedName(NamedTuple):
    """`kind` is `vendor.com/class`, as the files have it."""

    kind: str
    device: str

    def __str__(self) -> str:
        return f"{self.kind}={self.device}"


def is_qualified(text: str) -> bool:
    """Whether a value of --device is the name of a CDI device and no path."""
    return parse_qualified(text) is not None


def parse_qualified(text: str) -> QualifiedName | None:
    """None for what is no qualified name."""
    kind, separator, device = text.partition("=")
    if text.startswith("/") or not separator:
        return None
    if not is_kind(kind) or not is_device(device):
        return None
    return QualifiedName(kind, device)


def is_kind(text: str) -> bool:
    """`vendor/class`, each of which begins with a letter and ends with a letter or a digit."""
    vendor, separator, name = text.partition("/")
    return bool(separator) and _is_word(vendor, _ALPHA, "_-.") and _is_word(name, _ALPHA, "_-.")


def is_device(text: str) -> bool:
    return _is_word(text, _ALNUM, "_-.:")


def _is_word(text: str, first: frozenset[str], between: str) -> bool:
    return (
        bool(text)
        and text[0] in first
        and text[-1] in _ALNUM
        and all(each in _ALNUM or each in between for each in text)
    )
