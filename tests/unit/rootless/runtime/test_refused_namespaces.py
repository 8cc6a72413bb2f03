"""The settings of a host that refuse namespaces, and the line for its administrator."""

import pytest

from rootless.runtime.refused_namespaces import remedy


@pytest.fixture
def settings(tmp_path):
    """/proc/sys of a host that refuses nothing."""

    def write(name, value):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{value}\n")

    for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
        write(f"user/max_{kind}_namespaces", 96365)
    write.directory = str(tmp_path)
    return write


def test_host_that_refuses_nothing_needs_nothing(settings):
    settings("kernel/unprivileged_userns_clone", 1)
    settings("kernel/apparmor_restrict_unprivileged_userns", 0)
    assert remedy(settings=settings.directory) == ""


def test_host_without_settings_needs_nothing(tmp_path):
    assert remedy(settings=str(tmp_path)) == ""


@pytest.mark.parametrize(
    ("kind", "limit"),
    [("user", "user"), ("mount", "mnt"), ("network", "net"), ("cgroup", "cgroup")],
)
def test_limit_of_zero_is_named(settings, kind, limit):
    settings(f"user/max_{limit}_namespaces", 0)
    text = remedy(settings=settings.directory)
    assert text == (
        f"{kind} namespaces are switched off: as root, sysctl -w user.max_{limit}_namespaces=15000"
    )
    assert remedy((kind,), settings.directory) == text
    assert remedy({"uts"}, settings.directory) == ""


def test_setting_of_debian_is_named(settings):
    settings("kernel/unprivileged_userns_clone", 0)
    text = remedy(settings=settings.directory)
    assert text.endswith("as root, sysctl -w kernel.unprivileged_userns_clone=1")
    assert remedy(("network",), settings.directory) == ""


def test_restriction_of_apparmor_is_named(settings):
    settings("kernel/apparmor_restrict_unprivileged_userns", 1)
    text = remedy(settings=settings.directory)
    assert text.startswith("AppArmor restricts user namespaces: as root, ")
    assert "kernel.apparmor_restrict_unprivileged_userns=0" in text
