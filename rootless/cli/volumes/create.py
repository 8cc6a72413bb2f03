"""`volume create`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, Parsed, Text, Texts
from rootless.cli.shared_options import pairs_of
from rootless.errors import UsageError

_DRIVER = Text(("driver", "d"), 'Specify volume driver name (default "local")', "DRIVER")
_IGNORE = Flag(("ignore",), "Accepted: an existing volume is never an error", hidden=True)
_LABEL = Texts(("label",), "Set metadata for a volume", "NAME[=VALUE]")
_NAME = Text(("name",), "Specify volume name", "NAME", hidden=True)
_OPT = Texts(("opt", "o"), "Set driver specific options", "NAME=VALUE")


def create(parsed: Parsed, settings: Settings) -> int:
    """Make a volume, and print its name."""
    from rootless.volumes.options import check_driver

    name = parsed[_NAME] or ""
    if parsed.arguments:
        if name:
            raise UsageError(
                "conflicting options: cannot specify a volume-name through both --name and as a "
                "positional arg"
            )
        name = parsed.arguments[0]
    check_driver(name, parsed[_DRIVER] or "")
    record = engine_of(settings).volumes.create(
        name, labels=pairs_of(parsed, _LABEL), options=_options_of(parsed)
    )
    print(record.name)
    return 0


def _options_of(parsed: Parsed) -> dict[str, str]:
    """The driver refuses a key that it does not have, and an empty one too."""
    pairs = (each.partition("=") for each in parsed[_OPT])
    return {key: value for key, _, value in pairs}


VOLUME_CREATE = Command(
    "create",
    "Create a volume",
    "[VOLUME]",
    (_DRIVER, _IGNORE, _LABEL, _NAME, _OPT),
    create,
    most=1,
    description="""Create a volume, and print its name. A volume that is there already is left as it
is. The options o=bind, type=none and device=DIR make it stand for a directory of the host, and
type=tmpfs and device=tmpfs make it a file system in memory, with the options of mount(8) in o.""",
)
