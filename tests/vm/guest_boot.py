"""In the guest: the unit that starts containers after a boot, run by the user's systemd."""

import subprocess
import sys
from pathlib import Path

from harness import check, main, wait_until

SCRIPT = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done"
HAS_SYSTEMD = Path("/run/systemd/system").is_dir()


def call(*arguments):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=180, check=False)


def rootless(*arguments):
    return call(sys.executable, "-m", "rootless", *arguments)


def systemctl(*arguments):
    result = call("systemctl", "--user", *arguments)
    assert result.returncode == 0, result
    return result.stdout.strip()


def running():
    return rootless("ps", "--format", "{{.Names}}").stdout.split()


if HAS_SYSTEMD:

    @check
    def unit_is_installed_and_enabled():
        result = rootless("system", "boot-unit", "--install")
        assert result.returncode == 0, result
        assert Path(result.stdout.strip()).is_file(), result
        assert result.stderr == "", result  # the account lingers
        assert systemctl("is-enabled", "rootless-boot.service") == "enabled"

    @check
    def unit_starts_what_is_to_run_and_stops_it_gracefully():
        policy = ("--restart", "unless-stopped", "-m", "64m")
        words = ("--name", "web", *policy, "--rootfs", "/", "sh", "-c", SCRIPT)
        created = rootless("run", "-d", *words)
        assert created.returncode == 0, created
        wait_until(lambda: rootless("logs", "web").stdout == "up\n", 60)
        stopped = rootless("system", "boot-stop")
        assert stopped.returncode == 0, stopped
        assert running() == []
        systemctl("start", "rootless-boot.service")
        assert running() == ["web"]
        wait_until(lambda: rootless("logs", "web").stdout == "up\nbye\nup\n", 60)
        systemctl("stop", "rootless-boot.service")
        assert running() == []
        assert rootless("logs", "web").stdout == "up\nbye\nup\nbye\n"
        systemctl("start", "rootless-boot.service")
        assert running() == ["web"]
        removed = rootless("rm", "-f", "web")
        assert removed.returncode == 0, removed
        systemctl("stop", "rootless-boot.service")

else:

    @check
    def unit_is_refused_in_one_line():
        result = rootless("system", "boot-unit", "--install")
        assert result.returncode == 1, result
        assert result.stderr.startswith("rootless: this machine was not started by systemd"), result
        assert result.stderr.count("\n") == 1, result


main()
