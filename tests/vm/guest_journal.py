"""In the guest, as an ordinary user: the log driver journald, and its refusal where there is no journal."""

import os
import subprocess
import sys

from harness import check, main

SOCKET = "/run/systemd/journal/socket"


def rootless(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "rootless", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@check
def output_goes_to_the_journal_if_there_is_one():
    options = ("--name", "held", "--log-driver", "journald", "--rootfs", "/")
    result = rootless("run", *options, "sh", "-c", "echo out; echo err >&2")
    if not os.path.exists(SOCKET):
        assert result.returncode == 125, result
        assert "journald is not enabled on this host" in result.stderr, result
        return "refused"
    assert (result.returncode, result.stdout, result.stderr) == (0, "out\n", "err\n"), result
    shown = rootless("logs", "held")
    removed = rootless("rm", "held")
    assert removed.returncode == 0, removed
    if shown.returncode:
        # A journal in memory is for root and the group systemd-journal.
        assert "insufficient permissions" in shown.stderr, shown
        return "written, not readable for this user"
    assert (shown.stdout, shown.stderr) == ("out\n", "err\n"), shown
    return "written and read"


main()
