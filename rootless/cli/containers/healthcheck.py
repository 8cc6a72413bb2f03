"""`healthcheck run` (podman)."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Parsed


def healthcheck_run(parsed: Parsed, settings: Settings) -> int:
    """Check the health of a container now. The status is 1 if the check fails."""
    if engine_of(settings).check_health(parsed.arguments[0]):
        return 0
    print("unhealthy")
    return 1


HEALTHCHECK_RUN = Command(
    # As of `run`, an error is 125: 1 is a check that fails (podman).
    "run",
    "Run the health check of a container",
    "CONTAINER",
    (),
    healthcheck_run,
    least=1,
    most=1,
    operand="container",
    description="""Run the health check of a container now, beside those that its monitor carries out. The
result counts as one of them. The exit status is 1 if it is a failure.""",
)
