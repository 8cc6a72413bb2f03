"""In the guest: the unit that starts containers after a boot, run by the user's systemd."""

import json
import subprocess
import sys
from pathlib import Path

from harness import check, main, wait_until

SCRIPT = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done"
HAS_SYSTEMD = Path("/run/systemd/system").is_dir()


def call(*arguments):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)


def rootless(*arguments):
    return call(sys.executable, "-m", "rootless", *arguments)


def systemctl(*arguments):
    result = call("systemctl", "--user", *arguments)
    assert result.returncode == 0, result
    return result.stdout.strip()


def container():
    """The directory of the only container, and its record: no command, because each takes seconds here."""
    directory = next((Path.home() / ".local/share/rootless/containers").glob("?" * 64))
    return directory, json.loads((directory / "container.json").read_text())


def status():
    return container()[1]["status"]


def said():
    directory, record = container()
    log = directory / f"{record['id']}-json.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [json.loads(line)["log"] for line in lines]


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
        wait_until(lambda: said() == ["up\n"])
        stopped = rootless("system", "boot-stop")
        assert stopped.returncode == 0, stopped
        assert (status(), said()) == ("exited", ["up\n", "bye\n"])
        systemctl("start", "rootless-boot.service")
        assert status() == "running"
        wait_until(lambda: len(said()) == 3)
        systemctl("stop", "rootless-boot.service")
        assert (status(), said()) == ("exited", ["up\n", "bye\n"] * 2)
        removed = rootless("rm", "web")
        assert removed.returncode == 0, removed

else:

    @check
    def unit_is_refused_in_one_line():
        result = rootless("system", "boot-unit", "--install")
        assert result.returncode == 1, result
        assert result.stderr.startswith("rootless: this machine was not started by systemd"), result
        assert result.stderr.count("\n") == 1, result


main()
