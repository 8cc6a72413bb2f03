"""search-tags: the tags of a repository at its registry."""

from __future__ import annotations

from rootless.errors import RootlessError, UsageError
from rootless.images.transfer.refusals import pull_denied
from rootless.oci.reference import Reference
from rootless.registry.configuration import ClientEnv
from rootless.registry.failures import DeniedError, RegistryError, UnknownError, UnreachableError
from rootless.registry.remote import Remote, RemoteOptions, run_remote


def registry_tags(
    name: str, env: ClientEnv, options: RemoteOptions | None = None
) -> tuple[str, ...]:
    """Every tag, in the order of the registry. Raises UsageError, UnknownError, DeniedError,
    UnreachableError."""

    async def work() -> tuple[str, ...]:
        async with Remote(env, options or RemoteOptions()) as remote:
            reference = remote.candidates(name)[0]
            if reference.tag is not None or reference.digest is not None:
                raise UsageError(f"{name} is not a repository: it has a tag or digest")
            return await list_tags(remote, reference)

    return run_remote(work)


async def list_tags(remote: Remote, reference: Reference) -> tuple[str, ...]:
    """Every tag of a repository, from the first registry that has it."""
    failure: RootlessError | None = None
    for client in remote.readers(reference):
        try:
            return await client.tags()
        except UnknownError as error:
            failure = UnknownError(
                f"repository {reference.familiar_name} not found: {error.message}"
            )
        except DeniedError as error:
            failure = pull_denied(reference, error)
        except (RegistryError, UnreachableError) as error:
            failure = error
    assert failure is not None
    raise failure
