"""apt and dpkg in a Debian root file system, which know at once when ownership or renaming is not what they expect."""

from __future__ import annotations

from pathlib import Path

import pytest

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


@pytest.mark.slow
@pytest.mark.needs("userns", "nosub", "fuse")
def test_apt_installs_packages_for_an_account_without_subordinate_ids(
    rootless: Rootless, debian_image: Path
) -> None:
    rootless("import", debian_image, "debian:test", timeout=120).ok()
    script = INSTALL + "test -x /usr/sbin/sshd && man --version | cut -d' ' -f1"
    result = rootless(
        "run", "--rm", "--network", "none", "debian:test", "sh", "-c", script, timeout=300
    ).ok()
    assert result.stdout.split() == ["man"], result
