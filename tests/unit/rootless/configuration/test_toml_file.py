"""rootless.toml: what it may hold, what the site's and the user's make together, and what is wrong in one line."""

from __future__ import annotations

import os

import pytest

from rootless.configuration.toml_file import parse_configuration, read_configuration
from rootless.configuration.values import KEYS, NETWORKS, Configuration
from rootless.errors import InvalidDocumentError, UsageError
from rootless.network.options import HOST, NONE, PRIVATE

SITE = """
binds = ["/scratch", "/sw:/sw:ro"]
environment = ["OMP_NUM_THREADS=1"]
network = "host"
uppers = "/local/$USER"
image_stores = ["/sw/images"]
join = "never"
chown = "record"
lock = ["network"]
"""
USER = """
binds = ["/data"]
environment = ["EDITOR"]
image_stores = ["/home/me/images"]
join = "auto"
"""


@pytest.fixture
def read(tmp_path):
    def read(site: str | None, user: str | None = None) -> Configuration:
        paths = [tmp_path / "site.toml", tmp_path / "user.toml"]
        for path, text in zip(paths, (site, user), strict=True):
            if text is not None:
                path.write_text(text)
        return read_configuration(*map(str, paths))

    return read


def test_values_of_a_site_are_defaults(read, tmp_path):
    found = read(SITE)
    assert found._replace(files={}, locked={}) == Configuration(
        binds=("/scratch", "/sw:/sw:ro"),
        environment=("OMP_NUM_THREADS=1",),
        network="host",
        uppers="/local/$USER",
        image_stores=("/sw/images",),
        join="never",
        chown="record",
    )
    assert found.files == dict.fromkeys(KEYS, (str(tmp_path / "site.toml"),))
    assert found.locked == {"network": str(tmp_path / "site.toml")}


def test_user_adds_to_lists_and_replaces_single_values(read, tmp_path):
    found = read(SITE, USER)
    assert found.binds == ("/scratch", "/sw:/sw:ro", "/data")
    assert found.environment == ("OMP_NUM_THREADS=1", "EDITOR")
    assert found.image_stores == ("/home/me/images", "/sw/images")
    assert (found.join, found.chown) == ("auto", "record")
    assert found.files["join"] == (str(tmp_path / "site.toml"), str(tmp_path / "user.toml"))
    assert found.files["network"] == (str(tmp_path / "site.toml"),)


def test_missing_files_set_nothing(read):
    assert read(None, None) == Configuration()


def test_user_cannot_set_what_the_site_has_locked(read, tmp_path):
    with pytest.raises(InvalidDocumentError) as raised:
        read(SITE, '# mine\nnetwork = "none"\n')
    assert raised.value.message == (
        f"{tmp_path}/user.toml: line 2: network: {tmp_path}/site.toml has locked network"
    )


def test_locked_key_refuses_the_option_by_name(read, tmp_path):
    found = read(SITE)
    found.require_unlocked("join", "--join")
    with pytest.raises(UsageError) as raised:
        found.require_unlocked("network", "--network none")
    assert raised.value.message == (
        f"--network none is not allowed here: {tmp_path}/site.toml has locked network"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nnetwrok = 'host'", "line 2: netwrok: unknown key"),
        ("[site]\nnetwork = 'host'", "line 1: site: unknown key"),
        ("network = 1", "line 1: network: it must be a string"),
        ("network = 'lan'", "line 1: network: 'lan' is not one of host, none, bridge"),
        ("join = true", "line 1: join: it must be a string"),
        ("chown = 'no'", "line 1: chown: 'no' is not one of record, pretend, refuse"),
        ("binds = '/a'", "line 1: binds: it must be a list of strings"),
        ("binds = [\n1]", "line 1: binds: it must be a list of strings"),
        ("binds = ['a:/b']", "line 1: binds: 'a:/b' does not begin with an absolute path"),
        ("environment = ['=b']", "line 1: environment: '=b' has no name"),
        ("image_stores = ['a']", "line 1: image_stores: 'a' is not an absolute path"),
        ("uppers = 'scratch'", "line 1: uppers: 'scratch' is not an absolute path"),
        ("uppers = ''", "line 1: uppers: it must be a string"),
        ("join = 'auto'\nlock = ['jion']", "line 2: lock: unknown key 'jion'"),
        ("network = host", "invalid value (at line 1, column 11)"),
        ("network = 'host'\nnetwork = 'none'\n", "cannot overwrite a value (at line 2, column 17)"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_line_and_key(text, message):
    with pytest.raises(InvalidDocumentError) as raised:
        parse_configuration(text.encode(), "/etc/rootless/rootless.toml", is_site=True)
    assert raised.value.message.startswith(f"/etc/rootless/rootless.toml: {message}")
    assert "\n" not in raised.value.message


def test_user_locks_nothing():
    with pytest.raises(InvalidDocumentError, match="only the file of the site can lock a key"):
        parse_configuration(b"lock = ['join']", "user.toml", is_site=False)


def test_file_that_is_not_utf8_or_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a").write_bytes(b"network = '\xff'")
    with pytest.raises(InvalidDocumentError, match="a: it is not UTF-8"):
        read_configuration(str(tmp_path / "a"), "/none")
    (tmp_path / "b").mkdir()
    with pytest.raises(InvalidDocumentError, match=r"cannot read .*/b: is a directory"):
        read_configuration("/none", str(tmp_path / "b"))


def test_file_without_an_end_and_a_fifo_are_not_read_for_ever(tmp_path):
    with pytest.raises(InvalidDocumentError, match="cannot read /dev/zero: it has more than"):
        read_configuration("/none", "/dev/zero")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InvalidDocumentError, match=r"cannot read .*/fifo: it is a fifo"):
        read_configuration("/none", str(tmp_path / "fifo"))


def test_networks_are_those_of_the_command_line():
    assert (HOST, NONE, *PRIVATE) == NETWORKS
