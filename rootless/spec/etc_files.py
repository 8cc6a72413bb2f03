"""The contents of /etc/hosts, /etc/hostname and /etc/resolv.conf, which the engine writes and binds. Pure."""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.network.options import names_in_hosts
from rootless.runtime.idmap import IdMaps
from rootless.spec.options import HOST_GATEWAY, ContainerOptions, Dns, HostEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rootless.network.setup import NetworkSetup

APT_SANDBOX = 'APT::Sandbox::User "root";\n'
"""For a container with one id: apt's sandbox user could not be switched to."""
APT_DIRECTORY = "/etc/apt/apt.conf.d"
APT_SANDBOX_PATH = f"{APT_DIRECTORY}/99rootless"
NAMES = ("hosts", "hostname", "resolv.conf", "apt.conf")
"""Of every file that `etc_files` may give."""


def etc_files(
    options: ContainerOptions,
    *,
    hostname: str,
    host_resolv_conf: str,
    id_maps: IdMaps,
    has_apt: Callable[[], bool],
    setup: NetworkSetup | None = None,
) -> dict[str, tuple[str, str]]:
    """The files that the engine writes and binds (`make_spec`'s `files`), by a name for each: the path in the
    container, and the content.

    `has_apt`, whether the container's files have APT_DIRECTORY, is only called where that matters. `setup` is that of
    a private network.

    Raises:
        UsageError: host-gateway was asked for and there is none.
    """
    address, gateway = "127.0.1.1", None if options.network.is_own else "127.0.0.1"
    if setup is not None:
        # An address that is chosen when the container starts is written then.
        address, gateway = setup.ipv4.address, setup.ipv4.gateway
    names = names_in_hosts(hostname, options.domainname or "")
    hosts = hosts_file(names, options.hosts, address=address, gateway=gateway)
    files = {
        "hosts": ("/etc/hosts", hosts),
        "hostname": ("/etc/hostname", f"{hostname}\n"),
        "resolv.conf": (
            "/etc/resolv.conf",
            resolv_conf(
                host_resolv_conf, options.dns if setup is None else _dns_of(setup, options.dns)
            ),
        ),
    }
    if options.own_etc:
        files = {"resolv.conf": files["resolv.conf"]} if options.network.is_own else {}
    is_covered = options.own_etc or any(
        f"{APT_SANDBOX_PATH}/".startswith(f"{m.target}/") for m in options.mounts
    )
    if id_maps.single and not is_covered and has_apt():
        files["apt.conf"] = (APT_SANDBOX_PATH, APT_SANDBOX)
    return files


def hosts_file(
    names: str, hosts: Iterable[HostEntry], *, gateway: str | None, address: str = "127.0.1.1"
) -> str:
    """`names` are the container's own, and `address` too, which has no line if it is empty. `gateway` is the address by
    which the container reaches the host; 127.0.0.1 on the host's network.

    Raises:
        UsageError: host-gateway was asked for and there is none.
    """
    lines = [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::\tip6-localnet",
        "ff00::\tip6-mcastprefix",
        "ff02::1\tip6-allnodes",
        "ff02::2\tip6-allrouters",
    ]
    for name, target in hosts:
        if target == HOST_GATEWAY and gateway is None:
            raise UsageError(f"--add-host {name}:host-gateway: this network has no gateway")
        lines.append(f"{gateway if target == HOST_GATEWAY else target}\t{name}")
    if address:
        lines.append(f"{address}\t{names}")
    return "\n".join(lines) + "\n"


def _dns_of(setup: NetworkSetup, dns: Dns) -> Dns:
    """The host's name servers may be out of the container's reach: the network's resolver asks them. That of a network
    with names of containers is asked first for a name without a dot, as with docker, and asks the servers of --dns.
    """
    if setup.attachments:
        has_ndots = any(each.startswith("ndots:") for each in dns.options)
        options = dns.options if has_ndots else (*dns.options, "ndots:0")
        return dns._replace(servers=(setup.ipv4.resolver,), options=options)
    return dns if dns.servers else dns._replace(servers=(setup.ipv4.resolver,))


def resolv_conf(host: str, dns: Dns) -> str:
    """The host's, with what --dns, --dns-search and --dns-option say in the place of its lines of
    that kind."""
    replaced = {"nameserver": dns.servers, "search": dns.search, "options": dns.options}
    lines = []
    for line in host.splitlines():
        words = line.split()
        keyword = "search" if words and words[0] == "domain" else (words[0] if words else "")
        if not replaced.get(keyword):
            lines.append(line)
    lines += [f"nameserver {server}" for server in dns.servers]
    if dns.search and dns.search != (".",):
        lines.append("search " + " ".join(dns.search))
    if dns.options:
        lines.append("options " + " ".join(dns.options))
    return "\n".join(lines) + "\n"
