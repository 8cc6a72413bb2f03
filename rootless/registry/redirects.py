"""The target of a redirect, and whether credentials may be sent to it. Pure. RFC 9110, 15.4.

Registries redirect blobs to object stores whose URLs are signed: they need no credentials,
and some refuse requests that bring them. So Authorization is sent only to the origin
(scheme, host and port) that it is for. From TLS nothing leads back to plain text.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from rootless.registry.failures import RegistryError

STATUSES = frozenset({301, 302, 303, 307, 308})
MOST = 10

_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: what credentials are bound to."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


def next_url(url: str, location: str | None, seen: tuple[str, ...]) -> str:
    """The URL to go to from `url`, after those of `seen`. Raises RegistryError where it leads nowhere
    good."""
    if not location:
        raise RegistryError(f"{_shown(url)} sends a redirect without a Location")
    try:
        target = urljoin(url, location)
        scheme, host, _ = origin_of(target)
    except ValueError:
        raise RegistryError(f"{_shown(url)} redirects to an invalid URL") from None
    if scheme not in _PORTS or not host:
        raise RegistryError(f"{_shown(url)} redirects to {_shown(target)}: not HTTP")
    if scheme == "http" and urlsplit(url).scheme == "https":
        raise RegistryError(f"{_shown(url)} redirects from https to http: refused")
    if target == url or target in seen:
        raise RegistryError(f"{_shown(url)} redirects in a loop")
    if len(seen) >= MOST:
        raise RegistryError(f"{_shown(url)} redirects more than {MOST} times")
    return target


def keeps_credentials(url: str, target: str) -> bool:
    """Whether the Authorization of one URL may be sent to the other."""
    return origin_of(url) == origin_of(target)


def _shown(url: str) -> str:
    """Without the query, where signatures are."""
    return url.partition("?")[0]
