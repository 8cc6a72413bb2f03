"""Which address a container gets."""

import pytest

from rootless.errors import RootlessError
from rootless.network.defined.addresses import choose_address, mac_address_of
from rootless.network.defined.record import Subnet


def test_first_free_address_is_chosen():
    subnet = Subnet("10.1.0.0/24", reserved={"printer": "10.1.0.2"})
    assert choose_address(subnet, "", ()) == "10.1.0.3"
    assert choose_address(subnet, "", {"10.1.0.3", "10.1.0.4"}) == "10.1.0.5"
    assert choose_address(Subnet("10.1.0.0/16", ip_range="10.1.5.0/24"), "", ()) == "10.1.5.1"
    named = Subnet("10.1.0.0/16", "10.1.0.9", "10.1.5.0/24")
    assert choose_address(named, "", ()) == "10.1.5.0"
    assert choose_address(Subnet("fd00::/64"), "", {"fd00::2"}) == "fd00::3"


def test_address_of_before_is_chosen_again_while_it_is_free():
    subnet = Subnet("10.1.0.0/24")
    assert choose_address(subnet, "", (), "10.1.0.77") == "10.1.0.77"
    assert choose_address(subnet, "", {"10.1.0.77"}, "10.1.0.77") == "10.1.0.2"


@pytest.mark.parametrize("asked", ["10.1.0.0", "10.1.0.1", "10.1.0.9", "10.1.0.255"])
def test_address_that_is_not_free_is_refused(asked):
    with pytest.raises(RootlessError, match="Address already in use"):
        choose_address(Subnet("10.1.0.0/24"), asked, {"10.1.0.9"})


def test_full_subnet_is_an_error():
    with pytest.raises(RootlessError, match="no available IPv4 addresses"):
        choose_address(Subnet("10.1.0.0/30"), "", {"10.1.0.2"})
    with pytest.raises(RootlessError, match="address pools: net"):
        choose_address(Subnet("10.1.0.0/30"), "", {"10.1.0.2"}, "", "net")


def test_mac_address_belongs_to_the_address():
    assert mac_address_of("10.1.0.255") == "02:42:0a:01:00:ff"
    assert mac_address_of("fd00::1:2") == "02:42:00:01:00:02"
    assert mac_address_of("").startswith("02:42:")
