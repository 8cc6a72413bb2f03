"""`pull`, `push`, `login`, `logout`, `search-tags` and `copy`: between this machine and registries."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rootless.cli.grammar import Parsed
from rootless.cli.main import Settings, engine_of
from rootless.cli.progress import progress_on
from rootless.errors import RootlessError, UsageError
from rootless.images.progress import Silence
from rootless.registry.remote import RemoteOptions, parse_credentials


def pull(parsed: Parsed, settings: Settings) -> int:
    """Fetch an image and say what came of it."""
    values: Any = parsed.values
    progress = Silence() if values["quiet"] else progress_on(sys.stdout)
    with _failing_with_one():
        pulled = engine_of(settings).pull(
            parsed.arguments[0],
            options=remote_options(values),
            platform=values["platform"],
            all_tags=values["all_tags"],
            progress=progress,
        )
    for image in pulled:
        if not values["quiet"]:
            print(f"Digest: {image.digest}")
            outcome = "Downloaded newer image" if image.newer else "Image is up to date"
            print(f"Status: {outcome} for {image.reference.familiar}")
        print(image.reference)
    return 0


def remote_options(values: Any) -> RemoteOptions:  # noqa: ANN401 - the values of a command line
    """What the options about registries say. Raises UsageError."""
    verify = values["tls_verify"]
    if verify not in (None, "true", "false"):
        raise UsageError(f"--tls-verify wants true or false, not {verify!r}")
    return RemoteOptions(
        tls_verify=None if verify is None else verify == "true",
        authfile=values["authfile"],
        credentials=None if values["creds"] is None else parse_credentials(values["creds"]),
    )


@contextmanager
def _failing_with_one() -> Iterator[None]:
    """Docker's client exits with 1 where the daemon refused; 125 is for `run`."""
    try:
        yield
    except RootlessError as error:
        error.exit_status = 1
        raise
