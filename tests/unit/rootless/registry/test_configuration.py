"""registries.conf and files with accounts: what they mean, and how they are written."""

import json
import os
import stat
import tomllib

import pytest

from rootless.errors import InvalidDocumentError, UsageError
from rootless.images.transfer.locations import Kind, parse_location
from rootless.oci.reference import parse_reference
from rootless.registry.authorization import Credentials
from rootless.registry.configuration import (
    ClientEnv,
    account_paths,
    find_account,
    forget_account,
    keep_account,
    registries_conf,
)
from rootless.registry.registries_conf import (
    RegistriesConf,
    candidates,
    endpoints,
    merged,
    read_registries_conf,
)

ME = Credentials("me", "p:w")
AUTH = "bWU6cDp3"


def conf(text):
    return read_registries_conf(tomllib.loads(text), "registries.conf")


def hosts(configuration, name, **options):
    found = endpoints(configuration, parse_reference(name), **options)
    return [f"{each.host}/{each.repository}{'!' if each.insecure else ''}" for each in found]


def test_without_configuration_a_name_is_its_own_place():
    assert hosts(RegistriesConf(), "debian") == ["registry-1.docker.io/library/debian"]
    assert hosts(RegistriesConf(), "localhost:5000/a/b") == ["localhost:5000/a/b"]


def test_longest_prefix_counts_and_gives_way_to_the_location():
    configuration = conf(
        """
        [[registry]]
        prefix = "docker.io"
        location = "hub.internal:5000/cache"
        insecure = true
        [[registry]]
        prefix = "docker.io/library"
        location = "quay.io/copies"
        [[registry]]
        prefix = "*.example.com"
        location = "all.internal/x"
        [[registry]]
        location = "a.b/c"
        """
    )
    assert hosts(configuration, "docker.io/team/x") == ["hub.internal:5000/cache/team/x!"]
    assert hosts(configuration, "debian:12") == ["quay.io/copies/debian"]
    assert hosts(configuration, "docker.io/libraryx/y") == ["hub.internal:5000/cache/libraryx/y!"]
    assert hosts(configuration, "deep.down.example.com/a/b") == ["all.internal/x/a/b"]
    assert hosts(configuration, "example.com/a") == ["example.com/a"]
    assert hosts(configuration, "a.b/c") == ["a.b/c"]


def test_mirrors_come_first_for_reading_only():
    configuration = conf(
        """
        [[registry]]
        location = "a.b"
        [[registry.mirror]]
        location = "one/x"
        insecure = true
        [[registry.mirror]]
        location = "two"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "three"
        pull-from-mirror = "tag-only"
        """
    )
    digest = "@sha256:" + "0" * 64
    assert hosts(configuration, "a.b/c:1") == ["one/x/c!", "three/c", "a.b/c"]
    assert hosts(configuration, "a.b/c" + digest) == ["one/x/c!", "two/c", "a.b/c"]
    assert hosts(configuration, "a.b/c:1", mirrors=False) == ["a.b/c"]


def test_blocked_registry_is_said():
    configuration = conf('[[registry]]\nprefix = "a.b/c"\nlocation = "a.b/c"\nblocked = true')
    assert hosts(configuration, "a.b/d") == ["a.b/d"]
    with pytest.raises(UsageError, match="blocked"):
        hosts(configuration, "a.b/c/d")


def test_short_names_are_aliases_then_searched_for():
    configuration = conf(
        'unqualified-search-registries = ["docker.io", "q.io/x"]\n[aliases]\na = "r.io/z/a"'
    )

    def meant(text):
        return [str(each) for each in candidates(configuration, text)]

    assert meant("a:2") == ["r.io/z/a:2"]
    assert meant("b") == ["docker.io/library/b", "q.io/x/b"]
    assert meant("c/b:1") == ["docker.io/c/b:1", "q.io/x/c/b:1"]
    assert meant("docker.io/a") == ["docker.io/library/a"]
    assert meant("localhost/a") == ["localhost/a"]
    assert [str(each) for each in candidates(RegistriesConf(), "a")] == ["docker.io/library/a"]


def test_later_files_replace_earlier_ones():
    first = conf(
        '[[registry]]\nlocation = "a.b"\ninsecure = true\n[aliases]\nx = "a.b/x"\ny = "a.b/y"'
    )
    second = conf('[[registry]]\nlocation = "a.b"\n[aliases]\nx = ""')
    both = merged([first, second])
    assert hosts(both, "a.b/c") == ["a.b/c"]
    assert both.aliases == {"y": "a.b/y"}


@pytest.mark.parametrize(
    "text",
    [
        "[registries.search]\nregistries = []",
        "[[registry]]\ninsecure = true",
        "[[registry]]\nlocation = 1",
        "registry = 1",
        '[[registry]]\nlocation = "a"\n[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "x"',
    ],
)
def test_malformed_registries_conf_is_refused(text):
    with pytest.raises(InvalidDocumentError):
        conf(text)


# Accounts


@pytest.fixture
def env(tmp_path):
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    return ClientEnv(environ, tmp_path / "home", 1000)


def write(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("https://index.docker.io/v1/", "docker.io/library/debian"),
        ("docker.io", "docker.io/library/debian"),
        ("a.b:5000", "a.b:5000/x"),
        ("https://a.b:5000/v2/", "a.b:5000/x"),
        ("http://a.b", "a.b/x/y"),
        ("a.b/x", "a.b/x/y"),
        ("a.b/x/y", "a.b/x/y"),
    ],
)
def test_account_is_found_under_every_form_of_key(env, key, name):
    write(env.docker_config / "config.json", {"auths": {key: {"auth": AUTH}}})
    assert find_account(env, None, name) == ME
    assert find_account(env, None, "other/x") is None


def test_account_of_the_nearest_namespace_counts(env):
    other = {"username": "other", "password": "x"}
    auths = {"a.b": other, "a.b/x": {"auth": AUTH}, "a.b/x/z": other}
    write(env.docker_config / "config.json", {"auths": auths})
    assert find_account(env, None, "a.b/x/y") == ME
    assert find_account(env, None, "a.b/xx") == Credentials("other", "x")


def test_files_are_asked_in_order_and_a_named_one_alone(env, tmp_path):
    auth = {"auths": {"a.b": {"auth": AUTH}}}
    write(tmp_path / "run/containers/auth.json", auth)
    assert find_account(env, None, "a.b/x") == ME
    write(
        env.docker_config / "config.json",
        {"auths": {"a.b": {"identitytoken": "t", "auth": "PHRva2VuPjo="}, "c.d": {}}},
    )
    assert find_account(env, None, "a.b/x").identity_token == "t"
    assert find_account(env, None, "c.d/x") is None
    named = write(tmp_path / "named.json", {})
    assert find_account(env, str(named), "a.b/x") is None
    assert account_paths(env, str(named)) == (named,)


@pytest.mark.parametrize("auth", ["?", "bm9jb2xvbg==", "/w=="])
def test_damaged_account_is_said(env, auth):
    write(env.docker_config / "config.json", {"auths": {"a.b": {"auth": auth}}})
    with pytest.raises(InvalidDocumentError, match=r"a\.b"):
        find_account(env, None, "a.b/x")


def test_account_is_kept_beside_all_else_for_its_owner_alone(env):
    path = write(env.docker_config / "config.json", {"auths": {"c.d": {"x": 1}}, "y": [1]})
    path.chmod(0o644)
    assert keep_account(path, "docker.io", ME) is None
    assert json.loads(path.read_text()) == {
        "auths": {"c.d": {"x": 1}, "https://index.docker.io/v1/": {"auth": AUTH}},
        "y": [1],
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert forget_account(path, "docker.io")
    assert not forget_account(path, "docker.io")
    assert json.loads(path.read_text()) == {"auths": {"c.d": {"x": 1}}, "y": [1]}


def test_link_to_the_file_stays_a_link(env, tmp_path):
    real = write(tmp_path / "dotfiles/config.json", {})
    env.docker_config.mkdir(parents=True)
    path = env.docker_config / "config.json"
    path.symlink_to(real)
    keep_account(path, "a.b", ME)
    assert path.is_symlink()
    assert json.loads(real.read_text()) == {"auths": {"a.b": {"auth": AUTH}}}


def test_registries_conf_is_the_users_or_else_the_machines(env):
    directory = env.config_home / "containers"
    (directory / "registries.conf.d").mkdir(parents=True)
    (directory / "registries.conf").write_text('[aliases]\nx = "a.b/x"\ny = "a.b/y"')
    (directory / "registries.conf.d/10.conf").write_text('[aliases]\nx = "c.d/x"')
    found = registries_conf(env)
    assert (found.aliases["x"], found.aliases["y"]) == ("c.d/x", "a.b/y")
    override = env.home / "other.conf"
    override.write_text("")
    environ = {**env.environ, "CONTAINERS_REGISTRIES_CONF": os.fspath(override)}
    assert registries_conf(env._replace(environ=environ)) == RegistriesConf()
    override.write_text("[")
    with pytest.raises(InvalidDocumentError, match="not valid TOML"):
        registries_conf(env._replace(environ=environ))


# Places to copy between


def test_places_are_spelled_as_skopeo_spells_them():
    def read(text):
        kind, path, name = parse_location(text)
        return kind, str(path), name

    assert read("docker://a.b/c:1") == (Kind.REGISTRY, ".", "a.b/c:1")
    assert read("oci:a/b:c:1") == (Kind.OCI, "a/b", "c:1")
    assert read("oci-archive:a") == (Kind.OCI_ARCHIVE, "a", "")
    assert read("docker-archive:/a:b") == (Kind.DOCKER_ARCHIVE, "/a", "b")
    assert read("dir:/a:b") == (Kind.DIRECTORY, "/a:b", "")
    assert read("local:a:1") == (Kind.LOCAL, ".", "a:1")
    for text in ("", "debian", "docker:debian", "docker://", "oci:", "oci::x", "ftp://a", "local:"):
        with pytest.raises(UsageError):
            parse_location(text)
