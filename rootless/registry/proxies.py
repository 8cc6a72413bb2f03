"""Chooses the proxy for a URL, if any. Pure.

The rules are those of Go's httpproxy package, which Docker and podman follow: HTTPS_PROXY and
HTTP_PROXY by the scheme of the URL, in upper or lower case; NO_PROXY is a list of `*`, host names
(which cover their subdomains), addresses, networks in CIDR form, each with or without a port.
Loopback is never proxied.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine, by its form alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """The URL of the proxy, or None for a direct connection."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    variable = f"{parts.scheme}_proxy"
    # CGI hands a request's Proxy: header over as HTTP_PROXY (httpoxy).
    upper = "" if "REQUEST_METHOD" in environ else environ.get(variable.upper(), "")
    proxy = upper or environ.get(variable, "")
    if not proxy or is_loopback(host):
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    excluded = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if any(_covers(entry.strip().lower(), host, port) for entry in excluded.split(",")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _covers(entry: str, host: str, port: int) -> bool:
    if not entry:
        return False
    if entry == "*":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdecimal() and (":" not in name or name.endswith("]")):
        if int(wanted) != port:
            return False
        entry = name
    entry = entry.strip("[]")
    if address is not None:
        return entry == host
    if entry.startswith("*."):
        entry = entry[1:]
    return host.endswith(entry) if entry.startswith(".") else f".{host}".endswith(f".{entry}")
