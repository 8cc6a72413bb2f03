"""What the wheel holds beside its modules: man pages and shell completion, made from the command tables.

hatchling calls it (pyproject.toml, tool.hatch.build.targets.wheel.hooks.custom). Needs typer, which
renders the completion; an editable install goes without.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPLETION = {
    "bash": "share/bash-completion/completions/rootless",
    "zsh": "share/zsh/site-functions/_rootless",
    "fish": "share/fish/vendor_completions.d/rootless.fish",
}


class SharedFiles(BuildHookInterface[Any]):
    """Adds PREFIX/share to a wheel. Raises CalledProcessError where the command tables do not render."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        self._made = tempfile.TemporaryDirectory()
        made = Path(self._made.name)
        self._run("rootless.cli.help.man_pages", str(made / "share/man/man1"))
        union_page = made / "share/man/man1/rootless-unionfs.1"
        union_page.write_text(self._run("unionfs.commands.man_page"))
        for shell, place in COMPLETION.items():
            script = made / place
            script.parent.mkdir(parents=True)
            # zsh looks for `#compdef` in the first line of a file.
            script.write_text(self._run("rootless", _ROOTLESS_COMPLETE=f"source_{shell}").lstrip())
            union = script.with_name(script.name.replace("rootless", "rootless-unionfs"))
            union.write_text(self._run("unionfs", "completion", shell))
        build_data["shared_data"][str(made / "share")] = "share"

    def finalize(self, version: str, *_: object) -> None:
        if version != "editable":
            self._made.cleanup()

    def _run(self, module: str, *arguments: str, **variables: str) -> str:
        # pip makes what the build requires known to Python by this variable.
        path = os.pathsep.join(filter(None, (self.root, os.environ.get("PYTHONPATH"))))
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"} | variables,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout
