"""Which network a container has for which none is asked."""

import pytest

from rootless.errors import InvalidDocumentError, UsageError
from rootless.network import default
from rootless.network.default import DefaultNetwork, default_network


@pytest.fixture
def environ(tmp_path, monkeypatch):
    """Of a user whose machine has a program, and no files of its own."""
    program = tmp_path / "bin/slirp4netns"
    program.parent.mkdir()
    program.touch(0o755)
    own = f"{tmp_path}/containers/containers.conf"
    monkeypatch.setattr(default, "containers_conf_files", lambda environ: (own,))
    monkeypatch.setattr(default, "_TUN", "/dev/null")
    return {"PATH": str(program.parent), "XDG_CONFIG_HOME": str(tmp_path)}


def configure(tmp_path, text):
    path = tmp_path / "containers/containers.conf"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_private_where_possible(environ):
    assert default_network(environ) == DefaultNetwork("bridge")


def test_host_with_a_reason_where_not(environ, monkeypatch):
    monkeypatch.setattr(default, "_TUN", "/nonexistent")
    assert default_network(environ) == DefaultNetwork("host", "/nonexistent cannot be opened")
    monkeypatch.setattr(default, "available", lambda environ: "")
    name, reason = default_network(environ)
    assert (name, reason) == ("host", "neither pasta nor slirp4netns is installed")


def test_rootless_toml_counts_more_than_containers_conf(environ, tmp_path):
    configure(tmp_path, '[containers]\nnetns = "none"\n')
    assert default_network(environ, "host") == DefaultNetwork("host")
    assert default_network(environ | {"ROOTLESS_NETWORK": "pasta"}, "host").name == "pasta"


def test_variable_counts_most(environ, tmp_path):
    configure(tmp_path, '[containers]\nnetns = "none"\n')
    assert default_network(environ | {"ROOTLESS_NETWORK": "pasta"}) == DefaultNetwork("pasta")
    with pytest.raises(UsageError, match="ROOTLESS_NETWORK: network nonsense not found"):
        default_network(environ | {"ROOTLESS_NETWORK": "nonsense"})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('[containers]\nnetns = "host"\n', "host"),
        ('[containers]\nnetns = "private"\n', "bridge"),
        ('[network]\ndefault_rootless_network_cmd = "slirp4netns"\n', "slirp4netns"),
        (
            '[containers]\nnetns = "none"\n[network]\ndefault_rootless_network_cmd = "slirp4netns"\n',
            "none",
        ),
        ('[containers]\n#netns = "host"\n', "bridge"),
    ],
)
def test_containers_conf(environ, tmp_path, text, name):
    configure(tmp_path, text)
    assert default_network(environ).name == name


def test_wrong_containers_conf_is_named(environ, tmp_path):
    configure(tmp_path, "[containers]\nnetns = \n")
    with pytest.raises(InvalidDocumentError, match=r"containers\.conf cannot be read"):
        default_network(environ)
    configure(tmp_path, '[containers]\nnetns = "nonsense"\n')
    with pytest.raises(UsageError, match="netns: network nonsense not found"):
        default_network(environ)
