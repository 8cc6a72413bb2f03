"""Ask docker, buildah or this engine what they make of the cases, and write it down.

    python3 -m tests.conformance.record docker|buildah|rootless BASE.tar OUTPUT.json [PATTERN...]

BASE.tar is the root file system that becomes the image base:1 (`python -m tests.conformance.base BASE.tar` writes it).
Needs the standard library only, so that it runs where the other engines are installed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tests.conformance.cases import BASE, Case, make_context, read_cases
from tests.conformance.description import describe, diff_ids

_TIMEOUT = 120
_ENVIRONMENT = os.environ | {"BUILDKIT_PROGRESS": "plain", "DOCKER_CLI_HINTS": "false"}


class Builder:
    """An engine: its command lines for importing, building and saving."""

    def __init__(self, program: str, base: Path, work: Path) -> None:
        self.program = program
        self._work = work
        match program:
            case "docker" | "rootless":
                self._run(program, "import", str(base), BASE)
            case _:
                with open(base, "rb") as archive:
                    self._run("podman", "import", "-", BASE, stdin=archive)
        self._base = diff_ids(self._saved(BASE))

    def ask(self, case: Case) -> dict[str, Any]:
        """Build one case; its description, or its error."""
        with tempfile.TemporaryDirectory(dir=self._work) as directory:
            context = make_context(case, Path(directory))
            image = f"conformance:{case.name}"
            argv = [*self._build(), "-t", image, *case.flags, case.context]
            stdin = open(context / case.stdin, "rb") if case.stdin else subprocess.DEVNULL  # noqa: SIM115
            done = subprocess.run(
                argv,
                cwd=context,
                env=_ENVIRONMENT,
                stdin=stdin,
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
            )
        text = done.stderr.decode(errors="replace")
        if done.returncode:
            return {"error": error_of(text, context), "status": done.returncode}
        found = describe(self._saved(image), self._base)
        if warnings := warnings_of(text):
            found["warnings"] = warnings
        return found

    def _build(self) -> list[str]:
        match self.program:
            case "docker" | "rootless":
                return [self.program, "build", "--progress=plain", "--no-cache"]
            case _:
                return [
                    "buildah",
                    "build",
                    "--layers",
                    "--no-cache",
                    "--format=docker",
                    "--pull=never",
                ]

    def _saved(self, image: str) -> Path:
        path = self._work / "saved.tar"
        path.unlink(missing_ok=True)
        match self.program:
            case "docker" | "rootless":
                self._run(self.program, "save", "-o", str(path), image)
            case _:
                self._run("podman", "save", "-q", "--format=docker-archive", "-o", str(path), image)
        return path

    def _run(self, *argv: str, stdin: Any = subprocess.DEVNULL) -> None:
        subprocess.run(argv, check=True, stdin=stdin, stdout=subprocess.DEVNULL, timeout=_TIMEOUT)


def error_of(text: str, context: Path) -> list[str]:
    """The excerpt of the Dockerfile that an error shows, and the error, without what differs from run to run."""
    text = text.replace(f"{context}/", "")
    text = re.sub(r"\bref [0-9a-z-]{36}::[0-9a-z]{25}", "ref", text)
    text = re.sub(r"/\S+/overlay2/\w+/merged", "", text)
    lines = [line.rstrip() for line in text.splitlines()]
    # docker shows the excerpt of some errors twice.
    start = next(
        (number for number in reversed(range(len(lines))) if re.match(r"\S*:\d+$", lines[number])),
        next(
            (number for number, line in enumerate(lines) if line.lower().startswith("error")),
            max(len(lines) - 1, 0),
        ),
    )
    return lines[start:]


def warnings_of(text: str) -> list[str]:
    """The findings that a build shows at its end. docker writes colours even to a file."""
    text = re.sub(r"\x1b\[\d+m", "", text)
    return [line.removeprefix(" - ") for line in text.splitlines() if line.startswith(" - ")]


def main() -> None:
    """The command line."""
    program, base, output, *patterns = sys.argv[1:]
    found = json.loads(Path(output).read_text()) if patterns else {}
    with tempfile.TemporaryDirectory(prefix="conformance-") as work:
        builder = Builder(program, Path(base), Path(work))
        for case in read_cases():
            if not patterns or any(fnmatch(case.name, each) for each in patterns):
                try:
                    found[case.name] = builder.ask(case)
                except (subprocess.SubprocessError, LookupError) as error:
                    print(f"{case.name}: {error}", file=sys.stderr)
        names = {case.name for case in read_cases()}
    found = {name: result for name, result in found.items() if name in names}
    Path(output).write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
