"""`system boot-unit`, `boot-start` and `boot-stop`: containers that come back after a boot."""

from __future__ import annotations

import sys

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed
from rootless.cli.output import for_each

_INSTALL = Flag(("install",), "Write the unit for this user, and enable it")


def boot_unit(parsed: Parsed, settings: Settings) -> int:
    """Print the unit, or install it."""
    boot = engine_of(settings).boot
    if not parsed[_INSTALL]:
        print(boot.unit(), end="")
        return 0
    installed = boot.install_unit()
    print(installed.path)
    if not installed.lingers:
        print(
            "hint: without lingering it starts at the first login and ends with the last: "
            f"{installed.enable_lingering}",
            file=sys.stderr,
        )
    return 0


def boot_start(parsed: Parsed, settings: Settings) -> int:  # noqa: ARG001 - a handler's signature
    """Start the containers, and print the name of each."""
    engine = engine_of(settings)

    def start(name: str) -> None:
        engine.start(name)
        print(name, flush=True)

    return for_each([record.name for record in engine.boot.containers()], start)


def boot_stop(parsed: Parsed, settings: Settings) -> int:  # noqa: ARG001 - a handler's signature
    """Stop every container that runs."""
    engine_of(settings).boot.stop_containers()
    return 0


BOOT_UNIT = Command(
    "boot-unit",
    "Print or install a systemd unit that starts containers after a boot",
    "",
    (_INSTALL,),
    boot_unit,
    most=0,
    description="""Print a unit of the user's systemd that starts containers after a boot, by system
boot-start, and stops them before a shutdown, by system boot-stop. --install writes it to
~/.config/systemd/user and enables it. The user's systemd starts at boot, and stays after the last logout,
if lingering is on for the account (loginctl enable-linger); else it starts at the first login.""",
)
BOOT_START = Command(
    "boot-start",
    "Start the containers that are to run after a boot",
    "",
    (),
    boot_start,
    most=0,
    description="""Start the containers whose restart policy is always, or is unless-stopped or on-failure
and that no user has stopped.""",
)
BOOT_STOP = Command(
    "boot-stop",
    "Stop all containers before a shutdown",
    "",
    (),
    boot_stop,
    most=0,
    description="""Stop every container that runs. It does not count as a stop by a user: system boot-start
starts those again whose restart policy asks for it.""",
)
