"""`update`."""

from __future__ import annotations

from rootless.cli.containers.chosen import LATEST, chosen
from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, GrammarError, Parsed, Value
from rootless.cli.output import for_each
from rootless.cli.run import options as rows
from rootless.cli.run.values import limits_of, restart_of
from rootless.errors import UsageError
from rootless.spec.options import NO_LIMITS

_OPTIONS = (
    rows.BLKIO_WEIGHT,
    rows.CPU_PERIOD,
    rows.CPU_QUOTA,
    rows.CPU_SHARES,
    rows.CPUS,
    rows.CPUSET_CPUS,
    rows.CPUSET_MEMS,
    rows.MEMORY,
    rows.MEMORY_RESERVATION,
    rows.MEMORY_SWAP,
    rows.PIDS_LIMIT,
    rows.RESTART,
)


def update(parsed: Parsed, settings: Settings) -> int:
    """Change limits and restart policy of containers, running or not."""
    absent: dict[str, Value] = {
        "oom-kill-disable": False,
        **dict.fromkeys(
            (
                "device-read-bps",
                "device-write-bps",
                "device-read-iops",
                "device-write-iops",
                "cgroup-parent",
            ),
            (),
        ),
    }
    try:
        limits = limits_of(Parsed(absent | dict(parsed.values), ()))
    except UsageError as error:  # a flag's value, for which docker has 125 with every command
        raise GrammarError(error.message) from error
    restart = restart_of(parsed) if parsed[rows.RESTART] else None
    if limits == NO_LIMITS and restart is None:
        raise UsageError("you must provide one or more flags when using this command")
    engine = engine_of(settings)

    def update_one(name: str) -> None:
        engine.update(name, limits, restart)
        print(name, flush=True)

    return for_each(chosen(parsed, engine, "update"), update_one)


UPDATE = Command(
    "update",
    "Update configuration of one or more containers",
    "CONTAINER [CONTAINER...]",
    (LATEST, *_OPTIONS),
    update,
    operand="container",
)
