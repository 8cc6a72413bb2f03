"""pip and npm in `rootless try`, with packages that lie beside them: what they do is seen, taken in part, and undone."""

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from io import BytesIO

import pytest

from tests.support.applied import copy_tree, differences

pytestmark = pytest.mark.needs("userns", "fuse")


def wheel(place, version, files):
    """A package `tool` with a module of these files."""
    info = f"tool-{version}.dist-info"
    with zipfile.ZipFile(place / f"tool-{version}-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(f"tool/{name}", text)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tool\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        names = [
            *(f"tool/{name}" for name in files),
            *(f"{info}/{name}" for name in ("METADATA", "WHEEL")),
        ]
        archive.writestr(
            f"{info}/RECORD", "".join(f"{name},,\n" for name in [*names, f"{info}/RECORD"])
        )


@pytest.fixture
def home(tmp_path, monkeypatch):
    place = tmp_path / "home"
    (place / ".ssh").mkdir(parents=True)
    (place / ".ssh/key").write_text("key\n")
    (place / ".bashrc").write_text("# mine\n")
    monkeypatch.setenv("HOME", str(place))
    return place


def pip(version, *options):
    options = [
        "--no-index",
        "--find-links",
        "../wheels",
        "--no-compile",
        "--disable-pip-version-check",
        *options,
    ]
    program = [sys.executable, "-m", "pip", "--python", "system/bin/python"]
    return [*program, "install", *options, f"tool=={version}"]


def test_pip_replaces_a_package_in_the_site_packages_of_an_interpreter(
    rootless, home, tmp_path, monkeypatch
):
    (tmp_path / "wheels").mkdir()
    wheel(
        tmp_path / "wheels",
        "1",
        {"__init__.py": "version = 1\n", "old.py": "old = 1\n", "same.py": ""},
    )
    wheel(
        tmp_path / "wheels",
        "2",
        {"__init__.py": "version = 2\n", "new/__init__.py": "", "same.py": ""},
    )
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "system"], check=True)
    done = subprocess.run(pip("1"), check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip cannot install a wheel here: {done.stderr}")
    for name in ("start", "direct"):
        copy_tree(bytes(work), bytes(tmp_path / name))
    rootless("try", "--keep", "--name", "one", *pip("2")).ok()
    assert differences(bytes(work), bytes(tmp_path / "start"), times=True) == []
    subprocess.run(pip("2"), check=True, cwd=tmp_path / "direct", capture_output=True)
    kinds = {
        each["path"].rpartition("site-packages/")[2]: each["kind"]
        for each in json.loads(rootless("changes", "--json", "one", "system").ok().stdout)[
            "changes"
        ]
    }
    assert kinds["tool/__init__.py"] == "changed"
    assert kinds["tool/old.py"] == "deleted"
    assert kinds["tool/new/__init__.py"] == "created"
    rootless("apply", "one", "system").ok()
    (backups,) = (rootless.data / "rootless/containers").glob("*/applies/1/backups")
    assert differences(bytes(work), bytes(tmp_path / "direct"), str(backups)) == []
    told = subprocess.run(
        ["system/bin/python", "-B", "-c", "import tool.new; print(tool.version)"],
        check=True,
        capture_output=True,
    )
    assert told.stdout == b"2\n"
    rootless("apply", "--undo", "one").ok()
    assert differences(bytes(work), bytes(tmp_path / "start"), times=True) == []


HOSTILE = """
echo 'alias sudo=stolen' >> ~/.bashrc; mkdir -p ~/.config/autostart; echo evil > ~/.config/autostart/evil
cat ~/.ssh/key > loot 2>/dev/null; cat /proc/*/root/"$HOME"/.ssh/key >> loot 2>/dev/null
rm -rf ../../src; ln -s / ../all; printf '#!/bin/sh\\n' > ../../.git/hooks/pre-commit; chmod +x ../../.git/hooks/pre-commit
exit 0
"""


@pytest.fixture
def hostile(tmp_path):
    """A package for npm that does harm when it is installed."""
    manifest = {
        "name": "hostile",
        "version": "1.0.0",
        "scripts": {"postinstall": "sh ./install.sh"},
    }
    files = {
        "package.json": json.dumps(manifest),
        "install.sh": HOSTILE,
        "index.js": "module.exports = 1\n",
    }
    path = tmp_path / "hostile-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(text.encode())
            archive.addfile(member, BytesIO(text.encode()))
    return path


def test_npm_with_a_hostile_script_changes_nothing_but_what_is_taken(
    rootless, home, hostile, tmp_path, monkeypatch
):
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    work = tmp_path / "work"
    (work / "src").mkdir(parents=True)
    (work / ".git/hooks").mkdir(parents=True)
    (work / "src/main.js").write_text("console.log(require('hostile'))\n")
    (work / "package.json").write_text('{"name": "mine", "version": "1.0.0"}\n')
    monkeypatch.chdir(work)
    copy_tree(bytes(tmp_path), b"%b-start" % bytes(tmp_path))
    command = ["npm", "install", "--offline", "--no-audit", "--no-fund", str(hostile)]
    options = [
        "--keep",
        "--name",
        "one",
        "--hide",
        "~/.ssh".replace("~", str(home)),
        "--network",
        "none",
    ]
    rootless("try", *options, *command).ok()
    for name in ("home", "work"):
        start = b"%b-start/%b" % (bytes(tmp_path), name.encode())
        assert differences(bytes(tmp_path / name), start, times=True) == []
    changes = rootless("changes", "one").ok().stdout
    for line in (
        f"changed  {home}/.bashrc",
        f"deleted  {work}/src/",
        f"created  {work}/.git/hooks/pre-commit",
    ):
        assert f"\n{line}" in f"\n{changes}"
    rootless("cp", f"one:{work}/node_modules/hostile/loot", str(tmp_path / "loot")).ok()
    assert (tmp_path / "loot").read_bytes() == b""
    rootless("apply", "one", "node_modules/hostile", "package.json", "package-lock.json").ok()
    told = subprocess.run(["node", "src/main.js"], check=True, capture_output=True)
    assert told.stdout == b"1\n"
    assert (home / ".bashrc").read_text() == "# mine\n"
    assert list((work / ".git/hooks").iterdir()) == []
    rootless("apply", "--undo", "one").ok()
    assert differences(bytes(work), b"%b-start/work" % bytes(tmp_path), times=False) == []
