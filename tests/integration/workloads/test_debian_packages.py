"""apt and dpkg in a Debian root file system, which know at once when ownership or renaming is not what they expect."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.rootless import Rootless

INSTALL = """
set -e
export DEBIAN_FRONTEND=noninteractive
quietly() { "$@" >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }; }
quietly apt-get install -y /srv/debs/*.deb
dpkg --audit
dpkg --verify | grep -v -E '/usr/share/(doc|man|locale)/' || true
"""
OWNERS = """
stat -c '%n %a %U:%G' /usr/bin/sudo /usr/bin/crontab /usr/bin/ssh-agent
quietly apt-get remove -y --purge cron
test ! -e /usr/sbin/cron && echo removed
"""


@pytest.mark.slow
@pytest.mark.needs("userns", "subuid", "fuse", "mmdebstrap")
def test_apt_installs_and_removes_packages_with_owners_of_their_own(
    rootless: Rootless, debian_image: Path
) -> None:
    rootless("import", debian_image, "debian:test", timeout=120).ok()
    result = rootless(
        "run", "--rm", "--network", "none", "debian:test", "sh", "-c", INSTALL + OWNERS, timeout=300
    ).ok()
    assert result.stdout.splitlines() == [
        "/usr/bin/sudo 4755 root:root",
        "/usr/bin/crontab 2755 root:crontab",
        "/usr/bin/ssh-agent 2755 root:_ssh",
        "removed",
    ]


OWNERS_IN_LAYER = {
    "usr/bin/crontab": (0o2755, "root", "crontab"),
    "usr/bin/ssh-agent": (0o2755, "root", "_ssh"),
    "usr/bin/sudo": (0o4755, "root", "root"),
    "var/cache/man": (0o755, "man", "man"),
    "var/spool/cron/crontabs": (0o1730, "root", "crontab"),
}


@pytest.mark.slow
@pytest.mark.needs("userns", "nosub", "fuse", "skopeo")
def test_apt_installs_packages_with_their_owners_for_an_account_without_subordinate_ids(
    rootless: Rootless, debian_image: Path, tmp_path: Path
) -> None:
    rootless("import", debian_image, "debian:test", timeout=120).ok()
    script = INSTALL + "test -x /usr/sbin/sshd && man --version | cut -d' ' -f1"
    command = ("run", "--name", "c1", "--network", "none", "debian:test", "sh", "-c", script)
    result = rootless(*command, timeout=300).ok()
    assert result.stdout.split() == ["man"], result
    rootless("commit", "c1", "debian:more").ok()
    rootless("save", "-o", tmp_path / "more.tar", "debian:more", timeout=120).ok()
    copied = tmp_path / "copied"
    run_command(
        ["skopeo", "copy", "-q", f"docker-archive:{tmp_path}/more.tar", f"dir:{copied}"],
        timeout=120,
    ).ok()
    layer = json.loads((copied / "manifest.json").read_text())["layers"][-1]["digest"]
    with tarfile.open(copied / layer.removeprefix("sha256:")) as tar:
        members = {each.name.removeprefix("./").rstrip("/"): each for each in tar}
        group_file = tar.extractfile(members["etc/group"])
        assert group_file is not None
        lines = [line.split(":") for line in group_file.read().decode().splitlines()]
    groups = {int(fields[2]): fields[0] for fields in lines}
    users = {0: "root", 6: "man"}
    assert {
        name: (member.mode, users[member.uid], groups[member.gid])
        for name, member in members.items()
        if name in OWNERS_IN_LAYER
    } == OWNERS_IN_LAYER
