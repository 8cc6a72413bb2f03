"""Registry errors in the words of Docker's commands. Pure."""

from __future__ import annotations

from rootless.oci.reference import Reference
from rootless.registry.failures import DeniedError, RegistryError, UnknownError


def manifest_refused(
    reference: Reference, error: RegistryError | UnknownError
) -> RegistryError | UnknownError:
    """The error for a manifest that could not be fetched."""
    if isinstance(error, UnknownError):
        return manifest_unknown(reference, error)
    return pull_denied(reference, error) if isinstance(error, DeniedError) else error


def manifest_unknown(reference: Reference, error: UnknownError) -> UnknownError:
    """The error for an unknown tag or digest."""
    return UnknownError(
        f"manifest for {reference.familiar} not found: {error.message}", details=error.details
    )


def pull_denied(reference: Reference, error: DeniedError) -> DeniedError:
    """The error for a repository that may not exist or may not be read: registries do not tell which."""
    if error.message.startswith("unauthorized: incorrect"):
        return error
    return DeniedError(
        f"pull access denied for {reference.familiar_name}, repository does not exist or may "
        f"require 'rootless login': {error.message}",
        details=error.details,
    )
