"""`port`: the published ports of a container."""

from __future__ import annotations

from rootless.cli.containers.chosen import ALL, LATEST, all_flag, with_latest
from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, GrammarError, Parsed
from rootless.cli.output import short_id
from rootless.errors import NotFoundError, UsageError
from rootless.network.ports import shown_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.network.options import PublishedPort


def port(parsed: Parsed, settings: Settings) -> int:
    """Print the address and port of the host for each published port, or for one."""
    engine = engine_of(settings)
    if parsed[ALL]:
        if parsed.arguments or parsed[LATEST]:
            raise GrammarError("no arguments are needed with --all")
        for record in engine.find_containers():
            _print(
                sorted(engine.published_ports(record.id), key=_order), f"{short_id(record.id)}\t"
            )
        return 0
    name, *chosen = with_latest(parsed, engine, "port", most=2)
    ports = sorted(engine.published_ports(name), key=_order)
    if not chosen:
        _print(ports)
        return 0
    wanted = _exposed(chosen[0])
    found = [each for each in ports if str(each.exposed) == wanted]
    if not found:
        raise NotFoundError(f"No public port '{chosen[0]}' published for {name}")
    for each in found:
        print(shown_address(each.address, each.host_port))
    return 0


def _print(ports: Sequence[PublishedPort], before: str = "") -> None:
    for each in ports:
        print(f"{before}{each.exposed} -> {shown_address(each.address, each.host_port)}")


def _order(each: PublishedPort) -> tuple[str, str]:
    """Docker sorts the lines."""
    return str(each.exposed), shown_address(each.address, each.host_port)


def _exposed(text: str) -> str:
    """NUMBER or NUMBER/PROTOCOL. Raises UsageError with docker's words."""
    number, _, protocol = text.partition("/")
    if not number.isascii() or not number.isdecimal():
        raise UsageError(
            f'invalid port ({number}): strconv.ParseUint: parsing "{number}": invalid syntax'
        )
    return f"{int(number)}/{protocol or 'tcp'}"


PORT = Command(
    "port",
    "List port mappings or a specific mapping for the container",
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    (all_flag("Those of all containers that run, each after its id", "a"), LATEST),
    port,
    operand="container",
)
