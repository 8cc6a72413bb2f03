"""Docker's options of the driver bridge, in docker's words."""

import pytest

from rootless.errors import RootlessError
from rootless.network.defined.driver_options import (
    check_options,
    connects_containers,
    masquerades,
    sysctls_of,
)

BRIDGE = "com.docker.network.bridge."
SYSCTLS = "com.docker.network.endpoint.sysctls"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("com.docker.network.driver.mtu", "x", "failed to parse com.docker.network.driver.mtu"),
        ("com.docker.network.driver.mtu", "-1", "invalid MTU number: -1"),
        ("com.docker.network.driver.mtu", "70000", "70000 is not from 68 to 65535"),
        (f"{BRIDGE}enable_icc", "x", 'strconv.ParseBool: parsing "x": invalid syntax'),
        (f"{BRIDGE}enable_ip_masquerade", "x", "failed to parse"),
        (f"{BRIDGE}host_binding_ipv4", "x", "value: x (nil ip)"),
        (f"{BRIDGE}host_binding_ipv4", "::1", "value: ::1 (nil ip)"),
        (f"{BRIDGE}gateway_mode_ipv4", "x", "unknown gateway mode x"),
        (f"{BRIDGE}gateway_mode_ipv6", "routed", "cannot have the host route packets"),
        (f"{BRIDGE}name", "a-name-that-is-long", "numerical result out of range"),
    ],
)
def test_value_that_makes_no_sense_is_refused(name, value, message):
    with pytest.raises(RootlessError) as caught:
        check_options({name: value})
    assert message in caught.value.message


def test_truth_is_written_as_in_go():
    for value, is_true in (("True", True), ("1", True), ("f", False), ("0", False)):
        options = {f"{BRIDGE}enable_icc": value, f"{BRIDGE}enable_ip_masquerade": value}
        check_options(options)
        assert connects_containers(options) is is_true
        assert masquerades(options) is is_true


def test_sysctls_of_an_interface():
    options = {SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.forwarding=0"}
    assert sysctls_of(options, "eth3") == {
        "net/ipv4/conf/eth3/log_martians": "1",
        "net/ipv6/conf/eth3/forwarding": "0",
    }
    for text in (
        "net.ipv4.conf.IFNAME.x",
        "kernel.x=1",
        "net.ipv4.conf.../x.IFNAME.y=1",
        "net.ipv4.ip_forward=1",
    ):
        with pytest.raises(RootlessError, match="invalid config for interface sysctl"):
            sysctls_of({SYSCTLS: text}, "eth3")
