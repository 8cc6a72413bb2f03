"""`rootless run`: from the command line to a `RunRequest`, and nothing more."""

from __future__ import annotations

import sys

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import GrammarError, Parsed
from rootless.cli.run_options import RUN_OPTIONS
from rootless.spec.request import RunRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.images.transfer.progress import Progress


def run(parsed: Parsed, settings: Settings) -> int:
    """Run the container in the foreground and return the status to exit with."""
    request = request_from(parsed)
    progress = None if parsed.values["quiet"] else _progress
    outcome = engine_of(settings).run(request, progress=progress)
    if outcome.out_of_memory:
        limit = f" of {request.memory}" if request.memory else ""
        print(
            f"rootless: the container reached its memory limit{limit}, and the kernel killed "
            "a process of it",
            file=sys.stderr,
        )
    return outcome.status


def _progress() -> Progress:
    """Of fetching the image; standard output is the container's."""
    from rootless.cli.progress import progress_on

    return progress_on(sys.stderr)


def request_from(parsed: Parsed) -> RunRequest:
    """The first argument is the image, unless --rootfs stands in for it. Raises GrammarError if
    neither is there.
    """
    values: dict[str, Any] = dict(parsed.values)
    values.pop("quiet")
    for option in RUN_OPTIONS:
        if option.refused:
            values.pop(option.key)
    arguments = parsed.arguments
    if values["rootfs"] is None:
        if not arguments:
            raise GrammarError('"rootless run" requires at least 1 argument.', exit_status=1)
        values["image"], *rest = arguments
        arguments = tuple(rest)
    return RunRequest(command=arguments, **values)
