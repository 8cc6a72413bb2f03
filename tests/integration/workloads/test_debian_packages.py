"""apt and dpkg in a Debian root file system, which know at once when ownership or renaming is not what they expect."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.rootless import Rootless

INSTALL = """
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get install -qq -y /srv/debs/*.deb >/dev/null 2>/tmp/log || { cat /tmp/log; exit 1; }
dpkg --audit
dpkg --verify | grep -v -E '/usr/share/(doc|man|locale)/' || true
stat -c '%n %a %U:%G' /usr/bin/sudo /usr/bin/crontab /usr/bin/ssh-agent
apt-get remove -qq -y --purge cron >/dev/null 2>/tmp/log || { cat /tmp/log; exit 1; }
test ! -e /usr/sbin/cron && echo removed
"""


@pytest.mark.slow
@pytest.mark.needs("userns", "subuid", "fuse", "mmdebstrap")
def test_apt_installs_and_removes_packages_with_owners_of_their_own(
    rootless: Rootless, debian_image: Path
) -> None:
    rootless("import", debian_image, "debian:test", timeout=120).ok()
    result = rootless(
        "run", "--rm", "--network", "none", "debian:test", "sh", "-c", INSTALL, timeout=300
    ).ok()
    assert result.stdout.splitlines() == [
        "/usr/bin/sudo 4755 root:root",
        "/usr/bin/crontab 2755 root:crontab",
        "/usr/bin/ssh-agent 2755 root:_ssh",
        "removed",
    ]
