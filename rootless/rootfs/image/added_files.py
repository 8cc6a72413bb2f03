"""The files that an image in one file has beside its layers: Apptainer's scripts for the environment and the command,
Charliecloud's equivalents, and mount points for both. Pure.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

DIRECTORIES = (
    "dev",
    "etc",
    "home",
    "mnt",
    "opt",
    "proc",
    "root",
    "run",
    "srv",
    "sys",
    "tmp",
    "usr/bin",
    "var/tmp",
    *(f"mnt/{number}" for number in range(10)),
)
"""Places to mount on, where the image has none."""
EMPTY_FILES = ("etc/hosts", "etc/resolv.conf", "etc/localtime")


def script_files(config: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """Text and mode by path, for the `config` object of an image."""
    variables = [str(each).partition("=")[::2] for each in config.get("Env") or ()]
    entrypoint = [str(each) for each in config.get("Entrypoint") or ()]
    command = [str(each) for each in config.get("Cmd") or ()]
    labels = config.get("Labels") or {}
    scripts = ".singularity.d"
    return {
        f"{scripts}/env/10-docker2singularity.sh": (_environment(variables), 0o755),
        f"{scripts}/env/90-environment.sh": ("#!/bin/sh\n", 0o755),
        # Apptainer sets APPTAINERENV_NAME and the caller's variables when it comes to this one.
        f"{scripts}/env/99-base.sh": ("#!/bin/sh\n", 0o755),
        f"{scripts}/runscript": (_runscript(entrypoint, command), 0o755),
        f"{scripts}/labels.json": (f"{json.dumps(labels, indent=1, sort_keys=True)}\n", 0o644),
        "ch/environment": ("".join(f"{name}={value}\n" for name, value in variables), 0o644),
    }


def _environment(variables: Sequence[tuple[str, str]]) -> str:
    """A variable of the caller wins over the image's, except the search path."""
    lines = ["#!/bin/sh"]
    for name, value in variables:
        if not name.isidentifier():
            continue  # the shell has no such variables
        if name == "PATH":
            lines.append(f"export PATH={_quoted(value)}")
        else:
            lines.append(f'[ -n "${{{name}:-}}" ] || export {name}={_quoted(value)}')
    return "\n".join(lines) + "\n"


def _runscript(entrypoint: Sequence[str], command: Sequence[str]) -> str:
    """Arguments take the place of the command, and follow the entry point."""
    fixed = " ".join(map(_quoted, entrypoint))
    default = " ".join(map(_quoted, command or ([] if entrypoint else ["/bin/sh"])))
    lines = ["#!/bin/sh"]
    if default:
        lines.append(f'[ "$#" -gt 0 ] || set -- {default}')
    lines.append(f'exec {fixed} "$@"' if fixed else 'exec "$@"')
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """One word of the shell."""
    return "'" + text.replace("'", "'\\''") + "'"
