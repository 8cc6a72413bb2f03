"""Networks that a user has defined: containers in them reach each other, also by name, and no others."""

import json
import socket

import pytest

from tests.support.traffic import CONNECT, ROOT, ask, exchange, greeter, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "tun", "pasta", "slirp4netns")

RESOLVE = "import socket, sys; print(sorted({each[4][0] for each in socket.getaddrinfo(sys.argv[1], 80)}))"


@pytest.fixture
def net(rootless):
    rootless("network", "create", "--subnet", "10.77.0.0/24", "net").ok()
    return "net"


def start(rootless, name, *options, command=()):
    rootless("run", "-d", "--name", name, *options, *ROOT, *(command or serving(80))).ok()
    if not command:
        wait_until(lambda: "listening" in rootless("logs", name).stdout)


def run(rootless, network, *command):
    return rootless("run", "--rm", "--network", network, *ROOT, *command)


def connect(rootless, network, address, port=80):
    return run(rootless, network, "python3", "-c", CONNECT, address, str(port))


def holders(rootless):
    """What is left of the holder: its socket and its document of addresses."""
    top = rootless.runtime / "rootless"
    return [*top.glob("volumes/networks"), *top.glob("networks.json")]


def test_containers_reach_each_other_by_name_and_alias(rootless, net):
    start(rootless, "web", "--network", net, "--network-alias", "www")
    for name in ("web", "www", "web.net", "10.77.0.2"):
        assert connect(rootless, net, name).ok().stdout == "10.77.0.3\n"
    identity = rootless("inspect", "-f", "{{.Id}}", "web").ok().stdout[:12]
    assert connect(rootless, net, identity).ok().stdout == "10.77.0.3\n"
    script = "import socket; print(socket.gethostbyaddr('10.77.0.2')[0])"
    assert run(rootless, net, "python3", "-c", script).ok().stdout == "web.net\n"


def test_shared_alias_has_the_addresses_of_all(rootless, net):
    for name in ("one", "two"):
        start(
            rootless, name, "--network", net, "--network-alias", "both", command=("sleep", "1000")
        )
    found = run(rootless, net, "python3", "-c", RESOLVE, "both").ok().stdout
    assert found == "['10.77.0.2', '10.77.0.3']\n"


def test_networks_are_isolated(rootless, net):
    rootless("network", "create", "--subnet", "10.78.0.0/24", "other").ok()
    start(rootless, "web", "--network", net)
    for address in ("10.77.0.2", "web", "10.77.0.1"):
        assert "10.7" not in connect(rootless, "other", address).ok().stdout
    # The DNS of the other network does not answer either.
    script = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)\n"
        "try: s.connect(('10.77.0.1', 53)); s.send(bytes(12)); print(s.recv(512))\n"
        "except OSError: print('none')"
    )
    assert run(rootless, "other", "python3", "-c", script).ok().stdout == "none\n"


def test_internal_network_has_no_way_out(rootless):
    rootless("network", "create", "--internal", "--subnet", "10.79.0.0/24", "inside").ok()
    start(rootless, "web", "--network", "inside")
    assert connect(rootless, "inside", "web").ok().stdout == "10.79.0.3\n"
    script = "cat /proc/net/route; ip route add default via 10.79.0.1"
    routes = run(rootless, "inside", "sh", "-c", script).stdout
    assert [line.split()[1] for line in routes.splitlines()[1:]] == ["00004F0A"]


def test_way_out_does_not_lead_to_the_host_s_loopback_unless_asked_for(rootless, net):
    with greeter() as port:
        for address in ("198.18.255.2", "10.77.0.1", "127.0.0.1"):
            assert "hello" not in connect(rootless, net, address, port).ok().stdout
        asked = ("--add-host", "host.docker.internal:host-gateway")
        result = rootless(
            "run", "--rm", "--network", net, *asked, *ROOT, "python3", "-c", CONNECT, "host.docker.internal", str(port)
        )  # fmt: skip
        assert result.ok().stdout == "hello from the host\n"


def test_addresses_and_names_are_shown_as_docker_does(rootless, net):
    start(
        rootless,
        "web",
        "--network",
        "name=net,ip=10.77.0.50,alias=www,mac-address=02:42:00:00:00:07",
    )
    shown = json.loads(rootless("inspect", "web").ok().stdout)[0]
    place = shown["NetworkSettings"]["Networks"]["net"]
    assert place["IPAddress"] == "10.77.0.50"
    assert place["Gateway"] == "10.77.0.1"
    assert place["IPAMConfig"] == {"IPv4Address": "10.77.0.50"}
    assert place["MacAddress"] == "02:42:00:00:00:07"
    assert place["DNSNames"] == ["web", "www", shown["Id"][:12]]
    network = json.loads(rootless("network", "inspect", "net").ok().stdout)[0]
    assert network["Containers"][shown["Id"]]["IPv4Address"] == "10.77.0.50/24"
    assert rootless("ps", "--format", "{{.Names}} {{.Networks}}").ok().stdout == "web net\n"
    hosts = rootless("exec", "web", "cat", "/etc/hosts").ok().stdout
    assert f"10.77.0.50\t{shown['Id'][:12]}" in hosts
    assert "nameserver 10.77.0.1" in rootless("exec", "web", "cat", "/etc/resolv.conf").ok().stdout


def test_published_port_leads_to_a_container_in_a_network(rootless, net):
    start(rootless, "web", "--network", net, "-p", "127.0.0.1:0:80")
    port = int(rootless("port", "web", "80").ok().stdout.rpartition(":")[2])
    assert exchange("127.0.0.1", port, b"x" * 100_000) == ("10.77.0.1", b"x" * 100_000)
    # Containers of the network reach the port by themselves.
    assert connect(rootless, net, "web").ok().stdout == "10.77.0.3\n"


def test_container_in_two_networks_has_one_default_route(rootless, net):
    rootless("network", "create", "--internal", "--subnet", "10.80.0.0/24", "back").ok()
    start(rootless, "db", "--network", "back")
    script = (
        "import socket; print(len(socket.if_nameindex())); print(open('/proc/net/route').read())"
    )
    command = ("run", "--rm", "--network", "back", "--network", net, *ROOT)
    shown = rootless(*command, "python3", "-c", script).ok().stdout
    assert shown.startswith("3\n")
    assert shown.count("\t00000000\t01004D0A") == 1
    assert rootless(*command, "python3", "-c", CONNECT, "db", "80").ok().stdout == "10.80.0.3\n"


def test_volume_and_network_together(rootless, net):
    start(rootless, "web", "--network", net, "-v", "data:/data")
    for options in (("-v", "data:/data"), ("-v", "other:/data")):
        command = (
            "run",
            "--rm",
            "--network",
            net,
            *options,
            *ROOT,
            "python3",
            "-c",
            CONNECT,
            "web",
            "80",
        )
        assert rootless(*command).ok().stdout == "10.77.0.3\n"


def test_ipv6(rootless):
    rootless("network", "create", "--ipv6", "--subnet", "fd00:77::/64", "six").ok()
    script = (
        "import socket; s = socket.create_server(('::', 80), family=socket.AF_INET6)\n"
        "print('listening', flush=True)\n"
        "while True: c, p = s.accept(); c.sendall(p[0].encode()); c.close()"
    )
    start(rootless, "web", "--network", "six", command=("python3", "-c", script))
    wait_until(lambda: "listening" in rootless("logs", "web").stdout)
    assert connect(rootless, "six", "fd00:77::2").ok().stdout.strip() == "fd00:77::3"
    found = run(rootless, "six", "python3", "-c", RESOLVE, "web").ok().stdout
    assert "fd00:77::2" in found


def test_mtu_is_that_of_the_network(rootless):
    rootless("network", "create", "-o", "com.docker.network.driver.mtu=1400", "small").ok()
    assert run(rootless, "small", "cat", "/sys/class/net/eth0/mtu").ok().stdout == "1400\n"


OPTION = "com.docker.network."
TO_HOST = ("--add-host", "host.docker.internal:host-gateway")


def test_containers_of_a_network_without_icc_do_not_reach_each_other(rootless):
    options = ("-o", f"{OPTION}bridge.enable_icc=false", "--subnet", "10.79.0.0/24")
    rootless("network", "create", *options, "apart").ok()
    start(rootless, "web", "--network", "apart", *TO_HOST, "-p", "127.0.0.1:0:80")
    assert connect(rootless, "apart", "10.79.0.2").ok().stdout.startswith("refused:")
    port = int(rootless("port", "web", "80").ok().stdout.rpartition(":")[2])
    assert exchange("127.0.0.1", port, b"x")[1] == b"x"
    with greeter() as number:
        outside = rootless("exec", "web", "python3", "-c", CONNECT, "198.18.255.2", str(number))
        assert outside.ok().stdout == "hello from the host\n"


def test_interfaces_are_named_and_set_up_as_asked_for(rootless):
    rootless("network", "create", "-o", f"{OPTION}container_iface_prefix=lan", "one").ok()
    sysctl = f"{OPTION}endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1"
    named = f"{OPTION}endpoint.ifname=wan0"
    rootless("network", "create", "two").ok()
    networks = ("--network", "one", "--network", f"name=two,driver-opt={named},driver-opt={sysctl}")
    script = "ls /sys/class/net; cat /proc/sys/net/ipv4/conf/wan0/log_martians"
    run = rootless("run", "--rm", *networks, *ROOT, "sh", "-c", script).ok()
    assert run.stdout.split() == ["lan0", "lo", "wan0", "1"]


def test_ports_are_published_where_the_network_says(rootless):
    options = ("-o", f"{OPTION}bridge.host_binding_ipv4=127.0.0.1")
    rootless("network", "create", *options, "own").ok()
    start(rootless, "web", "--network", "own", "-p", "80", "-p", "[::1]::81")
    lines = rootless("port", "web").ok().stdout.splitlines()
    assert [line.rpartition(":")[0] for line in lines] == ["80/tcp -> 127.0.0.1", "81/tcp -> [::1]"]


def test_network_without_masquerading_has_no_way_out(rootless):
    options = ("-o", f"{OPTION}bridge.enable_ip_masquerade=false")
    rootless("network", "create", *options, "own").ok()
    with greeter() as number:
        run = ("run", "--rm", "--network", "own", *TO_HOST, *ROOT, "python3", "-c", CONNECT)
        assert "hello" not in rootless(*run, "198.18.255.2", str(number)).stdout


def test_nothing_is_left_after_the_last_container(rootless, net):
    start(rootless, "web", "--network", net)
    assert holders(rootless)
    rootless("rm", "-f", "web").ok()
    wait_until(lambda: not holders(rootless))


def test_network_in_use_is_not_removed(rootless, net):
    start(rootless, "web", "--network", net)
    refused = rootless("network", "rm", net)
    assert refused.status == 1
    assert "network net has active endpoints" in refused.stderr
    assert rootless("network", "prune", "-f").ok().stdout == ""
    assert "Deleted Networks" not in rootless("system", "prune", "-f").ok().stdout
    rootless("rm", "-f", "web").ok()
    assert rootless("network", "rm", net).ok().stdout == "net\n"
    rootless("network", "create", "unused").ok()
    assert "Deleted Networks:\nunused\n" in rootless("system", "prune", "-f").ok().stdout


def test_container_of_a_removed_network_does_not_start(rootless, net):
    rootless("create", "--name", "late", "--network", net, *ROOT, "true").ok()
    rootless("network", "rm", net).ok()
    result = rootless("start", "late")
    assert result.status == 1
    assert "network net not found" in result.stderr


def interfaces(rootless, name):
    return sorted(rootless("exec", name, "ls", "/sys/class/net").ok().stdout.split())


def test_connect_and_disconnect_while_it_runs(rootless, net):
    rootless("network", "create", "--subnet", "10.81.0.0/24", "more").ok()
    start(rootless, "web", "--network", net, "-p", "127.0.0.1:0:80")
    rootless("network", "connect", "--ip", "10.81.0.9", "--alias", "extra", "more", "web").ok()
    assert interfaces(rootless, "web") == ["eth0", "eth1", "lo"]
    assert connect(rootless, "more", "extra").ok().stdout == "10.81.0.2\n"
    assert "10.81.0.9\t" in rootless("exec", "web", "cat", "/etc/hosts").ok().stdout
    again = rootless("network", "connect", "more", "web")
    assert again.status == 1
    assert "endpoint with name web already exists in network more" in again.stderr
    rootless("network", "disconnect", net, "web").ok()
    assert interfaces(rootless, "web") == ["eth1", "lo"]
    assert "nameserver 10.81.0.1" in rootless("exec", "web", "cat", "/etc/resolv.conf").ok().stdout
    port = int(rootless("port", "web", "80").ok().stdout.rpartition(":")[2])
    assert exchange("127.0.0.1", port, b"x")[1] == b"x"
    assert rootless("ps", "--format", "{{.Networks}}").ok().stdout == "more\n"
    rootless("restart", "-t", "0", "web").ok()
    assert interfaces(rootless, "web") == ["eth0", "lo"]


def test_connect_and_disconnect_before_the_start(rootless, net):
    rootless("network", "create", "--subnet", "10.81.0.0/24", "more").ok()
    rootless("create", "--name", "web", "--network", net, *ROOT, *serving(80)).ok()
    rootless("network", "connect", "more", "web").ok()
    rootless("network", "disconnect", net, "web").ok()
    rootless("start", "web").ok()
    wait_until(lambda: "listening" in rootless("logs", "web").stdout)
    assert connect(rootless, "more", "web").ok().stdout == "10.81.0.3\n"


def test_container_with_the_default_network_is_connected_to_another(rootless, net):
    rootless("create", "--name", "web", "--network", "bridge", *ROOT, *serving(80)).ok()
    rootless("network", "connect", net, "web").ok()
    rootless("start", "web").ok()
    wait_until(lambda: "listening" in rootless("logs", "web").stdout)
    assert interfaces(rootless, "web") == ["eth0", "eth1", "lo"]
    assert connect(rootless, net, "web").ok().stdout == "10.77.0.3\n"
    shown = rootless(
        "inspect",
        "-f",
        "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}} {{end}}",
        "web",
    )
    assert shown.ok().stdout == "bridge=10.0.2.100 net=10.77.0.2 \n"


def routes(rootless, name):
    return rootless("exec", name, "ip", "-4", "route").ok().stdout


def test_default_network_comes_and_goes_while_it_runs(rootless, net):
    start(rootless, "web", "--network", net, "-p", "127.0.0.1:0:80")
    port = int(rootless("port", "web", "80").ok().stdout.rpartition(":")[2])
    rootless("network", "connect", "bridge", "web").ok()
    assert interfaces(rootless, "web") == ["eth0", "eth1", "lo"]
    assert "default via 10.0.2.2 dev eth1" in routes(rootless, "web")
    assert exchange("127.0.0.1", port, b"x")[1] == b"x"
    assert connect(rootless, net, "web").ok().stdout == "10.77.0.3\n"
    again = rootless("network", "connect", "bridge", "web")
    assert again.status == 1
    assert "endpoint with name web already exists in network bridge" in again.stderr
    rootless("network", "disconnect", net, "web").ok()
    assert interfaces(rootless, "web") == ["eth1", "lo"]
    assert exchange("127.0.0.1", port, b"x")[1] == b"x"
    assert (
        rootless("exec", "web", "tail", "-1", "/etc/hosts").ok().stdout.startswith("10.0.2.100\t")
    )
    assert "nameserver 10.0.2.3" in rootless("exec", "web", "cat", "/etc/resolv.conf").ok().stdout
    rootless("network", "connect", net, "web").ok()
    rootless("network", "disconnect", "bridge", "web").ok()
    assert "default via 10.77.0.1" in routes(rootless, "web")
    assert exchange("127.0.0.1", port, b"x")[1] == b"x"
    rootless("network", "connect", "bridge", "web").ok()
    rootless("restart", "-t", "0", "web").ok()
    wait_until(lambda: rootless("logs", "web").stdout.count("listening") == 2)
    assert interfaces(rootless, "web") == ["eth0", "eth1", "lo"]
    assert rootless("ps", "--format", "{{.Networks}}").ok().stdout == f"bridge,{net}\n"


def test_container_without_any_network_starts_and_gets_the_default_one_again(rootless):
    rootless("create", "--name", "web", "--network", "bridge", *ROOT, "sleep", "1000").ok()
    rootless("network", "disconnect", "bridge", "web").ok()
    rootless("start", "web").ok()
    assert interfaces(rootless, "web") == ["lo"]
    assert "10.0.2.100" not in rootless("exec", "web", "cat", "/etc/hosts").ok().stdout
    missing = rootless("network", "disconnect", "bridge", "web")
    assert (missing.status, "is not connected to network bridge" in missing.stderr) == (1, True)
    rootless("network", "connect", "bridge", "web").ok()
    assert "default via 10.0.2.2 dev eth0" in routes(rootless, "web")
    shown = "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}"
    inspected = rootless("network", "inspect", "-f", shown, "bridge")
    assert inspected.ok().stdout == "web 10.0.2.100/24\n"
    rootless("network", "disconnect", "bridge", "web").ok()
    assert interfaces(rootless, "web") == ["lo"]


def answer(port):
    """What the server of a port sends first; empty if the connection is refused, reset or closed."""
    try:
        with socket.create_connection(("127.0.0.1", port), 120) as connection:
            return connection.recv(99)
    except ConnectionError:
        return b""


def test_published_port_leads_nowhere_without_a_network(rootless, net):
    """Not to what listens on the loopback addresses of the container either."""
    start(rootless, "web", "--network", net, "-p", "127.0.0.1:0:80")
    port = int(rootless("port", "web", "80").ok().stdout.rpartition(":")[2])
    assert exchange("127.0.0.1", port, b"x")[1] == b"x"
    rootless("network", "disconnect", net, "web").ok()
    assert answer(port) == b""
    rootless("network", "connect", net, "web").ok()
    assert exchange("127.0.0.1", port, b"x")[1] == b"x"


SIX = r"""
import socket, threading
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(("fd00:79::2", 80))
def echo():
    while True:
        data, peer = udp.recvfrom(99)
        udp.sendto(data, peer)
threading.Thread(target=echo, daemon=True).start()
with socket.create_server(("fd00:79::2", 80), family=socket.AF_INET6) as listener:
    print("listening", flush=True)
    while True:
        with listener.accept()[0] as connection:
            connection.sendall(b"six")
"""


def test_published_port_leads_to_a_network_that_has_ipv6_alone(rootless):
    create = ("network", "create", "--ipv4=false", "--ipv6", "--subnet", "fd00:79::/64", "six")
    rootless(*create).ok()
    ports = ("-p", "127.0.0.1::80", "-p", "[::1]::80", "-p", "127.0.0.1::80/udp")
    start(rootless, "web", "--network", "six", *ports, command=("python3", "-c", SIX))
    wait_until(lambda: "listening" in rootless("logs", "web").stdout)
    for line in rootless("port", "web").ok().stdout.splitlines():
        address, _, port = line.partition(" -> ")[2].rpartition(":")
        if "/udp" in line:
            assert ask(address, int(port), b"x") == b"x"
        else:
            with socket.create_connection((address.strip("[]"), int(port)), 120) as connection:
                assert connection.recv(9) == b"six"


def test_container_outside_the_user_namespace_of_the_networks_is_told_to_start_again(rootless, net):
    rootless("run", "-d", "--name", "web", "--network", "bridge", *ROOT, "sleep", "1000").ok()
    refused = rootless("network", "connect", net, "web")
    assert refused.status == 1
    assert refused.stderr.count("\n") == 1
    assert "stop it, connect it, and start it again" in refused.stderr
    assert interfaces(rootless, "web") == ["eth0", "lo"]
    assert not holders(rootless)
    rootless("stop", "-t", "0", "web").ok()
    rootless("network", "connect", net, "web").ok()
    rootless("start", "web").ok()
    assert interfaces(rootless, "web") == ["eth0", "eth1", "lo"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--alias", "x"), "network-scoped alias is supported only for containers in user defined"),
        (("--ip", "10.0.2.7"), "IP address is supported on user defined networks only"),
    ],
)
def test_default_network_gives_neither_names_nor_addresses(rootless, net, options, message):
    rootless("create", "--name", "web", "--network", net, *ROOT, "true").ok()
    refused = rootless("network", "connect", *options, "bridge", "web")
    assert refused.status == 1
    assert message in refused.stderr


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("host", "cannot be connected to any other network"),
        ("none", "one of the networks in private (none) mode"),
    ],
)
def test_container_without_a_network_of_its_own_is_not_connected(rootless, net, mode, message):
    rootless("run", "-d", "--name", "web", "--network", mode, *ROOT, "sleep", "1000").ok()
    refused = rootless("network", "connect", net, "web")
    assert refused.status == 1
    assert message in refused.stderr
