"""--tz ZONE of podman: binds the zone's file of the host on /etc/localtime of the container."""

from __future__ import annotations

import os

from rootless.errors import UsageError
from rootless.spec.options import Bind

_ZONES = "/usr/share/zoneinfo"
_LOCAL = "/etc/localtime"


def parse_timezone(text: str, zones: str = _ZONES, local: str = _LOCAL) -> Bind:
    """The mount. `local` is the host's zone. Raises UsageError for a zone that the host does not know."""
    source = local if text == "local" else f"{zones}/{text}"
    is_below = not {"", ".", ".."} & set(text.split("/"))
    if not is_below or not os.path.isfile(source):
        raise UsageError(f"unknown time zone {text}", hint=f"zones are the files of {zones}")
    return Bind(os.path.realpath(source), _LOCAL, read_only=True)
