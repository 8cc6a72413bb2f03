"""Writes /etc/hosts and /etc/resolv.conf of a container whose networks have changed."""

from __future__ import annotations

from rootless.network.options import names_in_hosts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rootless.network.endpoint import Assigned
    from rootless.network.setup import NetworkSetup


def write_network_files(
    directory: str,
    spec: Mapping[str, object],
    default: NetworkSetup | None,
    places: Sequence[Assigned],
) -> None:
    """Have /etc/hosts name the addresses of the container, and /etc/resolv.conf the DNS of the first place, which knows
    names of containers; else that of the default network. `directory` is the container's, `spec` its config.json,
    `default` its default network.
    """
    names = names_in_hosts(str(spec.get("hostname", "")), str(spec.get("domainname", "")))
    addresses = [
        *(() if default is None else (default.ipv4.address,)),
        *(each for place in places for each in (place.address, place.ipv6_address) if each),
    ]
    servers: tuple[str, ...] = ()
    if places:
        servers = (places[0].resolver,)
    elif default is not None:
        servers = default.name_servers or (default.ipv4.resolver,)

    def hosts(lines: list[str]) -> list[str]:
        kept = [line for line in lines if line.partition("\t")[2] != names]
        return [*kept, *(f"{each}\t{names}" for each in addresses)]

    def resolv_conf(lines: list[str]) -> list[str]:
        kept = [line for line in lines if not line.startswith("nameserver ")]
        return [*(f"nameserver {each}" for each in servers), *kept] if servers else lines

    _rewrite(f"{directory}/hosts", hosts)
    _rewrite(f"{directory}/resolv.conf", resolv_conf)


def _rewrite(path: str, change: Callable[[list[str]], list[str]]) -> None:
    """Change the lines of a file in place: it is mounted in the container."""
    with open(path, "r+", encoding="utf-8", errors="surrogateescape") as file:
        lines = file.read().splitlines()
        changed = change(lines)
        if changed != lines:
            file.seek(0)
            file.write("\n".join(changed) + "\n")
            file.truncate()
