"""--tz ZONE as a mount."""

import pytest

from rootless.cli.run.timezone import parse_timezone
from rootless.errors import UsageError
from rootless.spec.options import Bind


@pytest.fixture
def zones(tmp_path):
    (tmp_path / "zones/Europe").mkdir(parents=True)
    (tmp_path / "zones/Europe/Prague").touch()
    (tmp_path / "zones/Czech").symlink_to("Europe/Prague")
    (tmp_path / "secret").touch()
    return tmp_path


@pytest.mark.parametrize("name", ["Europe/Prague", "Czech", "local"])
def test_zone_is_the_file_of_the_host_on_the_local_time(zones, name):
    found = parse_timezone(name, str(zones / "zones"), str(zones / "zones/Czech"))
    assert found == Bind(f"{zones}/zones/Europe/Prague", "/etc/localtime", read_only=True)


@pytest.mark.parametrize(
    "name", ["Europe", "Nowhere", "../secret", "/etc/passwd", "Europe/./Prague"]
)
def test_what_is_no_zone_is_refused(zones, name):
    with pytest.raises(UsageError, match="unknown time zone"):
        parse_timezone(name, str(zones / "zones"))
