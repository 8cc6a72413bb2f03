"""The options of a build, as its provenance records them."""

from __future__ import annotations

import base64
import os

from rootless.build.provenance import Invocation
from rootless.containers.timestamps import now
from rootless.oci.platform import host_platform
from rootless.spec.options import DEFAULT_SHM_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.request import BuildRequest


def invocation(request: BuildRequest, dockerfile: str, started: str) -> Invocation:
    """The invocation of a build that is done now. `dockerfile`: the name of the file."""
    return Invocation(
        base64.b32encode(os.urandom(16)).decode().rstrip("=").lower()[:25],
        dockerfile,
        _arguments(request),
        is_complete=not request.build_arguments and not request.labels,
        locals=("context", "dockerfile") if request.context.directory is not None else (),
        builds_on=host_platform(),
        started=started,
        finished=now(),
    )


def _arguments(request: BuildRequest) -> dict[str, str]:
    """The options of BuildKit's front end for Dockerfiles, by its names."""
    found = {}
    if request.hosts:
        found["add-hosts"] = ",".join(f"{each.name}={each.address}" for each in request.hosts)
    if request.network != "default":
        found["force-network-mode"] = request.network
    if request.no_cache or request.uncached_stages:
        found["no-cache"] = ",".join(request.uncached_stages)
    if request.shm_size != DEFAULT_SHM_SIZE:
        found["shm-size"] = str(request.shm_size)
    if request.target:
        found["target"] = request.target
    if request.ulimits:
        found["ulimit"] = ",".join(
            f"{each.name}={each.soft}:{each.hard}" for each in request.ulimits
        )
    return found
