"""Refuses options that the storage driver overlay does not have: limits, traces, snapshots and recorded owners."""

from __future__ import annotations

from rootless.errors import HostSupportError
from rootless.runtime.extensions import ChownMode
from rootless.spec.options import NO_STORAGE_LIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.spec.options import ContainerOptions


def options_for_overlay(options: ContainerOptions) -> ContainerOptions:
    """The options with what chown does where owners are kept on disk: one that is not mapped cannot be kept.

    Raises HostSupportError for an option that the driver does not have.
    """
    _check(options)
    security = options.security
    if security.chown is ChownMode.RECORD:
        raise HostSupportError(
            "the storage driver overlay cannot record owners",
            hint="use --storage-driver unionfs, or --chown=pretend",
        )
    if security.chown is not None:
        return options
    return options._replace(security=security._replace(chown=ChownMode.PRETEND))


def _check(options: ContainerOptions) -> None:
    if options.storage != NO_STORAGE_LIMITS:
        what = "limit the writable layer"
    elif options.writable_tmpfs is not None:
        what = "keep the writable layer in memory"
    elif options.trace is not None:
        what = "trace a container"
    elif options.snapshot_each:
        what = "take snapshots"
    else:
        return
    raise HostSupportError(
        f"the storage driver overlay cannot {what}", hint="use --storage-driver unionfs"
    )
