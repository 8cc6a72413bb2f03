"""Platforms: `os/architecture[/variant]`, their normal forms, and the best match for a machine. Pure.

The rules are containerd's (platforms package): an arm machine runs every lower variant, and amd64's
v1 is written as nothing.
"""

from __future__ import annotations

from rootless.errors import UsageError
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# uname(2) machine to GOARCH and variant.
_MACHINES: dict[str, tuple[str, str]] = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armv8l": ("arm", "v8"),
    "armv7l": ("arm", "v7"),
    "armhf": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "loongarch64": ("loong64", ""),
}

_ARCHITECTURES = frozenset(
    (
        *("386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle"),
        *("ppc64", "ppc64le", "riscv64", "s390x", "wasm"),
    )
)
"""GOARCH of the systems that images are made for."""


class Platform(NamedTuple):
    """In normal form: lower case, GOOS and GOARCH names, default variants left out."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


def normalised(os: str, architecture: str, variant: str = "") -> Platform:
    """The normal form of what a document or a user wrote."""
    os, architecture, variant = os.lower(), architecture.lower(), variant.lower()
    if architecture in _MACHINES:
        architecture, default = _MACHINES[architecture]
        variant = variant or default
    if (architecture == "arm64" and variant in ("8", "v8")) or (
        architecture == "amd64" and variant == "v1"
    ):
        variant = ""
    elif architecture == "arm":
        variant = f"v{variant}" if variant.isdecimal() else variant or "v7"
    return Platform(os, architecture, variant)


def parse_platform(text: str) -> Platform:
    """The platform of --platform: `os/arch`, `os/arch/variant`, `arch` or `os`. Raises UsageError."""
    parts = text.split("/")
    if not 1 <= len(parts) <= 3 or not all(
        part.replace("_", "").replace("-", "").isalnum() for part in parts
    ):
        raise UsageError(
            f"invalid platform {text!r}", hint="write os/architecture or os/architecture/variant"
        )
    if len(parts) == 1:
        if parts[0].lower() == "linux":
            return host_platform()
        platform = normalised("linux", parts[0])
        if platform.architecture not in _ARCHITECTURES:
            raise UsageError(f'"{text}": unknown operating system or architecture')
        return platform
    return normalised(*parts)


def host_platform() -> Platform:
    """The platform of this machine. The one look at the host in this package: uname(2)."""
    import os

    return normalised("linux", os.uname().machine)


def _arm_version(variant: str) -> int:
    return int(variant[1:]) if variant[:1] == "v" and variant[1:].isdecimal() else 0


def preference(wanted: Platform, offered: Platform) -> int | None:
    """How well `offered` serves `wanted`: smaller is better, 0 is exact, None is not at all.

    armv8 in 32 bit runs v7, v6 and v5; arm64 runs 32-bit arm as a last resort; amd64/vN runs every
    lower level.
    """
    if wanted == offered:
        return 0
    if wanted.os != offered.os:
        return None
    if wanted.architecture == offered.architecture == "arm":
        distance = _arm_version(wanted.variant) - _arm_version(offered.variant)
        return distance if distance > 0 else None
    if wanted.architecture == offered.architecture and wanted.architecture in ("amd64", "arm64"):
        base = 1 if wanted.architecture == "amd64" else 8
        distance = (_arm_version(wanted.variant) or base) - (_arm_version(offered.variant) or base)
        return distance if distance > 0 else None
    if wanted.architecture == "arm64" and offered.architecture == "arm":
        return 100 + 8 - _arm_version(offered.variant)
    return None


def choose_platform(wanted: Platform, offered: Sequence[Platform | None]) -> int | None:
    """Position of the entry of an image index to use, given the platform that each entry declares: the
    one that serves best, the first of equals. An entry that declares none is used only if it is alone.
    None if no entry serves."""
    ranked = [
        (rank, i)
        for i, offer in enumerate(offered)
        if offer is not None and (rank := preference(wanted, offer)) is not None
    ]
    if ranked:
        return min(ranked)[1]
    return 0 if len(offered) == 1 and offered[0] is None else None


def offer_hint(offered: Iterable[Platform | None]) -> str | None:
    """The hint of an error about a platform that is missing: which there are; None if none is named."""
    names = sorted({str(each) for each in offered if each is not None})
    return f"choose one of its platforms: {', '.join(names)}" if names else None
