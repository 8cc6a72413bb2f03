"""The wheel and the sdist: what they hold, and that the programs work from them without a compiler."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path

import pytest

from tests.support.command import Result, run_command
from tests.support.rootless import Rootless

ROOT = Path(__file__).parents[3]
SITE = Path(sysconfig.get_path("purelib"))
LEFT_OUT = ("rootless", "_rootless", "pyfuse3", "pip", "setuptools", "_distutils_hack")
"""What the fresh environment does not take from this one: the tree itself, its extra, and what venv brings."""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Installation:
    """A fresh environment into which the wheel was installed as pip installs it."""

    prefix: Path

    def __call__(self, program: str, *arguments: str | Path, **variables: str) -> Result:
        keep = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
        path = f"{self.prefix / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"
        return run_command([program, *arguments], env={"PATH": path, **keep, **variables})


def build(source: Path, target: str, directory: Path) -> Path:
    """Build one distribution of a source tree, as pip does but without asking an index."""
    argv = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory"]
    subprocess.run([*argv, directory], cwd=source, check=True, capture_output=True, timeout=120)
    (made,) = directory.glob("*.tar.gz" if target == "sdist" else "*.whl")
    return made


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist, so that the sdist is shown to hold all that a build needs."""
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run(["tar", "-xf", sdist, "-C", directory], check=True)
    (source,) = directory.iterdir()
    return build(source, "wheel", directory)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel in a fresh environment, beside the dependencies that this one has; without pyfuse3."""
    directory = tmp_path_factory.mktemp("installed")
    prefix, dependencies = directory / "prefix", directory / "dependencies"
    subprocess.run([sys.executable, "-m", "venv", prefix], check=True, timeout=120)
    dependencies.mkdir()
    for entry in SITE.iterdir():
        if not entry.name.startswith(LEFT_OUT) and entry.suffix != ".pth":
            (dependencies / entry.name).symlink_to(entry)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    pth = prefix / "lib" / version / "site-packages" / "dependencies.pth"
    pth.write_text(f"{dependencies}\n")
    pip = [prefix / "bin/python", "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    subprocess.run([*pip, "--no-index", "--no-deps", wheel], check=True, timeout=120)
    return Installation(prefix)


def test_wheel_needs_no_compiler_and_says_its_license(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (name,) = (each for each in names if each.endswith(".dist-info/METADATA"))
        metadata = message_from_string(archive.read(name).decode())
        tags = archive.read(name.replace("METADATA", "WHEEL")).decode()
    assert "Tag: py3-none-any" in tags
    needed = metadata.get_all("Requires-Dist") or []
    assert [each for each in needed if "pyfuse3" in each and "extra ==" not in each] == []
    assert metadata["License-Expression"] == "Apache-2.0"
    assert any(each.endswith("licenses/LICENSE") for each in names)
    assert {"rootless/py.typed", "unionfs/py.typed"} <= set(names)
    assert {each.split("/")[0].split("-")[0] for each in names} == {"rootless", "unionfs"}


def test_wheel_from_the_tree_holds_what_the_one_from_the_sdist_holds(
    wheel: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        from_sdist = sorted((each.filename, each.CRC) for each in archive.infolist())
    with zipfile.ZipFile(build(ROOT, "wheel", tmp_path)) as archive:
        assert sorted((each.filename, each.CRC) for each in archive.infolist()) == from_sdist


def test_installed_programs_start_without_importing_what_their_scripts_do_not_need(
    installed: Installation,
) -> None:
    from rootless.version import __version__

    assert __version__ in installed("rootless", "--version").ok().stdout
    assert __version__ in installed("rootless-unionfs", "--version").ok().stdout
    script = (installed.prefix / "bin/rootless").read_text()
    assert script.startswith(f"#!{installed.prefix}/bin/python")
    assert "import re" not in script


@pytest.mark.needs("userns", "fuse")
def test_installed_rootless_runs_a_container(installed: Installation, rootless: Rootless) -> None:
    stores = {name: rootless.env[name] for name in ("XDG_DATA_HOME", "XDG_RUNTIME_DIR")}
    done = installed("rootless", "run", "--rm", "--rootfs", "/", "echo", "hello", **stores)
    assert done.ok().stdout == "hello\n"


@pytest.mark.needs("fuse", "fusermount")
def test_installed_unionfs_mounts_and_names_the_extra_that_pyfuse3_needs(
    installed: Installation, tmp_path: Path
) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower/file").write_text("below\n")
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    merged = tmp_path / "merged"
    refused = installed("rootless-unionfs", "--session", "pyfuse3", "-o", options, merged)
    assert refused.status == 1
    assert "rootless[pyfuse3]" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    installed("rootless-unionfs", "-o", options, merged).ok()
    try:
        assert (merged / "file").read_text() == "below\n"
    finally:
        installed("fusermount3", "-u", merged).ok()


def test_manual_pages_and_completion_are_installed(installed: Installation) -> None:
    share = installed.prefix / "share"
    assert (share / "man/man1/rootless-run.1").read_text().startswith(".")
    union_page = (share / "man/man1/rootless-unionfs.1").read_text()
    assert "lowerdir=A:B" in union_page.replace("\\-", "-")
    bash = share / "bash-completion/completions/rootless"
    script = f". {bash}; COMP_WORDS=(rootless ru); COMP_CWORD=1; _rootless_completion rootless; "
    done = installed("bash", "-c", script + 'printf "%s\\n" "${COMPREPLY[@]}"')
    assert "run" in done.ok().stdout.split()
    assert (share / "zsh/site-functions/_rootless").read_text().startswith("#compdef rootless")
    assert "rootless" in (share / "fish/vendor_completions.d/rootless.fish").read_text()


def test_users_of_the_python_interface_see_its_types(
    installed: Installation, tmp_path: Path
) -> None:
    (tmp_path / "user.py").write_text("from rootless import Engine\n\nreveal_type(Engine)\n")
    argv = [sys.executable, "-m", "mypy", "--python-executable", installed.prefix / "bin/python"]
    done = run_command(
        [*argv, "--cache-dir", tmp_path / "cache", "user.py"], cwd=tmp_path, timeout=300
    )
    shown = done.ok().stdout
    assert "Engine" in shown
    assert "object" not in shown
