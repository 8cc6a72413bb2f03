"""A unit of the user's systemd that starts containers after a boot and stops them before a shutdown."""

from __future__ import annotations

import os
import sys

from rootless.errors import HostSupportError
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.containers.storage_paths import StoragePaths

NAME = "rootless-boot.service"
_SYSTEMD = "/run/systemd/system"
"""There where systemd is process 1 (sd_booted(3))."""
_LINGER = "/var/lib/systemd/linger"


class InstalledUnit(NamedTuple):
    """`lingers`: the user's systemd, and with it the unit, is started at boot and not at the first login;
    `enable_lingering` is the command for that.
    """

    path: str
    lingers: bool
    enable_lingering: str


def unit_text(paths: StoragePaths, environ: Mapping[str, str]) -> str:
    """The unit, for the program that runs now and its directories. Raises HostSupportError where systemd is
    not process 1.
    """
    if not os.path.isdir(_SYSTEMD):
        raise HostSupportError(
            "this machine was not started by systemd: there is no user manager to start containers at boot"
        )
    command = [*_program(), "--root", paths.store, "--runroot", paths.runtime, "system"]
    search_path = environ.get("PYTHONPATH")
    variables = f"Environment={_quoted(f'PYTHONPATH={search_path}')}\n" if search_path else ""
    return f"""\
[Unit]
Description=Containers of rootless with a restart policy

[Service]
Type=oneshot
RemainAfterExit=yes
Delegate=yes
TimeoutStartSec=infinity
{variables}ExecStart=-{_joined([*command, "boot-start"])}
ExecStop=-{_joined([*command, "boot-stop"])}

[Install]
WantedBy=default.target
"""


def install_unit(text: str, environ: Mapping[str, str]) -> InstalledUnit:
    """Write the unit of this user and enable it: its systemd starts it from the next boot on."""
    from rootless.durable import write_atomically

    base = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    directory = f"{base}/systemd/user"
    wanted = f"{directory}/default.target.wants"
    os.makedirs(wanted, 0o755, exist_ok=True)
    write_atomically(f"{directory}/{NAME}", text.encode(errors="surrogateescape"), 0o644)
    # What systemctl(1) enable makes of WantedBy=, also where the user's systemd does not run now.
    link = f"{wanted}/{NAME}"
    if not os.path.lexists(link):
        os.symlink(f"{directory}/{NAME}", link)
    _reload()
    user = _user_name()
    lingers = os.path.exists(f"{_LINGER}/{user}")
    return InstalledUnit(f"{directory}/{NAME}", lingers, f"loginctl enable-linger {user}")


def _program() -> list[str]:
    """The words that start this program again."""
    program = os.path.abspath(sys.argv[0])
    if os.path.basename(program) == "rootless" and os.access(program, os.X_OK):
        return [program]
    return [sys.executable, "-m", "rootless"]


def _joined(words: Sequence[str]) -> str:
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """A word as a unit has it (systemd.syntax(7), "Quoting"; systemd.unit(5), "Specifiers";
    systemd.service(5), "Command lines").
    """
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    is_plain = text.replace("/", "").replace("-", "").replace(".", "").replace("_", "").isalnum()
    return text if is_plain and text.isascii() else f'"{text}"'


def _reload() -> None:
    """Reload the units of the user's systemd, if it runs."""
    import subprocess

    try:
        subprocess.run(
            ["systemctl", "--user", "daemon-reload"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        pass  # it reads them when it starts


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
