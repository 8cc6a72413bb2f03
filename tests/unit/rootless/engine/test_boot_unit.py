"""The unit that starts containers after a boot."""

import configparser
import os
from pathlib import Path

import pytest

from rootless.containers.storage_paths import StoragePaths
from rootless.engine import boot_unit
from rootless.errors import HostSupportError

PATHS = StoragePaths(store="/home/a user/100%/$x", runtime="/run/user/1000/rootless")


@pytest.fixture
def booted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that systemd has booted, and on which nobody lingers."""
    monkeypatch.setattr(boot_unit, "_SYSTEMD", str(tmp_path))
    monkeypatch.setattr(boot_unit, "_LINGER", str(tmp_path / "linger"))
    monkeypatch.setattr(boot_unit, "_reload", lambda: None)
    return tmp_path


def read(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def test_words_of_the_command_survive_systemds_quoting(booted: Path) -> None:
    service = read(boot_unit.unit_text(PATHS, {}))["Service"]
    assert service["ExecStart"].endswith(
        ' --root "/home/a user/100%%/$$x" --runroot /run/user/1000/rootless system boot-start'
    )
    assert service["ExecStop"].endswith(" system boot-stop")
    assert "Environment" not in service


def test_search_path_of_a_checkout_is_kept(booted: Path) -> None:
    service = read(boot_unit.unit_text(PATHS, {"PYTHONPATH": "/a b:/c"}))["Service"]
    assert service["Environment"] == '"PYTHONPATH=/a b:/c"'


def test_machine_without_systemd_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot_unit, "_SYSTEMD", str(tmp_path / "none"))
    with pytest.raises(HostSupportError, match="was not started by systemd"):
        boot_unit.unit_text(PATHS, {})


def test_installed_unit_is_enabled_and_written_again(booted: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(booted / "config")}
    for text in ("[Unit]\n", "[Unit]\nDescription=x\n"):
        installed = boot_unit.install_unit(text, environ)
    path = booted / "config/systemd/user/rootless-boot.service"
    assert installed.path == str(path)
    assert path.read_text() == "[Unit]\nDescription=x\n"
    link = booted / "config/systemd/user/default.target.wants/rootless-boot.service"
    assert os.readlink(link) == str(path)
    assert not installed.lingers


def test_lingering_of_the_account_is_seen(booted: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(booted / "config")}
    command = boot_unit.install_unit("", environ).enable_lingering
    (booted / "linger").mkdir()
    (booted / "linger" / command.split()[-1]).touch()
    assert boot_unit.install_unit("", environ).lingers
