"""--publish and --expose: what docker 28.5 took and refused, and how it showed ports."""

import pytest

from rootless.cli.flags.names import is_address
from rootless.errors import UsageError
from rootless.network.options import ExposedPort, PortRequest, PublishedPort
from rootless.network.ports import parse_expose, parse_publish, ports_column, with_all_published


def publish(text):
    return parse_publish(text, is_address)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", PortRequest(80)),
        (":80", PortRequest(80)),
        ("::80", PortRequest(80)),
        ("0:80", PortRequest(80)),
        ("8080:80", PortRequest(80, "tcp", "", 8080, 8080)),
        ("8080:80/TCP", PortRequest(80, "tcp", "", 8080, 8080)),
        ("127.0.0.1::53/udp", PortRequest(53, "udp", "127.0.0.1")),
        ("127.0.0.1:5353:53/udp", PortRequest(53, "udp", "127.0.0.1", 5353, 5353)),
        ("[::1]:8123:80", PortRequest(80, "tcp", "::1", 8123, 8123)),
        ("8000-8010:80", PortRequest(80, "tcp", "", 8000, 8010)),
    ],
)
def test_one_port(text, expected):
    assert publish(text) == [expected]


def test_ranges_pair_ports():
    assert publish("8000-8001:80-81/udp") == [
        PortRequest(80, "udp", "", 8000, 8000),
        PortRequest(81, "udp", "", 8001, 8001),
    ]
    assert publish("90-91") == [PortRequest(90), PortRequest(91)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "Invalid containerPort: abc"),
        ("80:abc", "Invalid containerPort: abc"),
        ("abc:80", "Invalid hostPort: abc"),
        ("70000:80", "Invalid hostPort: 70000"),
        ("80:70000", "Invalid containerPort: 70000"),
        ("80-70", "Invalid containerPort: 80-70"),
        ("127.0.0.1:", "No port specified: 127.0.0.1:<empty>"),
        ("", "No port specified: <empty>"),
        ("1.2.3:80:80", "Invalid ip address: 1.2.3"),
        ("80/foo", "Invalid proto: foo"),
        ("::1:8124:80", "Invalid ip address ::1: address ::1:: too many colons in address"),
        (
            "8000-8010:80-85",
            "Invalid ranges specified for container and host Ports: 80-85 and 8000-8010",
        ),
    ],
)
def test_mistakes_have_dockers_words(text, message):
    with pytest.raises(UsageError) as caught:
        publish(text)
    assert caught.value.message == message


def test_expose():
    assert parse_expose("80-81/udp") == [ExposedPort(80, "udp"), ExposedPort(81, "udp")]
    prefix = "invalid range format for --expose: "
    for text, why in {
        "abc": 'abc, error: strconv.ParseUint: parsing "abc": invalid syntax',
        "70000": '70000, error: strconv.ParseUint: parsing "70000": value out of range',
        "90-80": "90-80, error: Invalid range specified for the Port: 90-80",
    }.items():
        with pytest.raises(UsageError) as caught:
            parse_expose(text)
        assert caught.value.message == prefix + why


def test_publish_all_leaves_out_what_is_published():
    requests = with_all_published(
        (PortRequest(80, "tcp", "", 8080, 8080),), (ExposedPort(80), ExposedPort(90, "udp"))
    )
    assert requests == (PortRequest(80, "tcp", "", 8080, 8080), PortRequest(90, "udp"))


def test_column_of_ps():
    published = (
        PublishedPort(80, "tcp", "0.0.0.0", 18090),
        PublishedPort(80, "tcp", "::", 18090),
        PublishedPort(53, "udp", "127.0.0.1", 32768),
    )
    exposed = (*(ExposedPort(n, "udp") for n in (100, 101, 102)), ExposedPort(443), ExposedPort(80))
    assert ports_column(published, exposed) == (
        "100-102/udp, 443/tcp, 127.0.0.1:32768->53/udp, 0.0.0.0:18090->80/tcp, [::]:18090->80/tcp"
    )
