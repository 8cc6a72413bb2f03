"""The command lines that docker, podman and rootless are compared by.

A case is a line of shell: `$D` is the program, `$BB` a root file system of busybox as a tar. The text of the
line is its name. The cases of one section run in order, in one directory and one store that has the image
`bb:1`; lines that begin with `setup:` come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_DIRECTORY = Path(__file__).parent / "cases"

STATES = ("created", "running", "exited", "restarting")
VERBS = (
    "start cc",
    "stop -t 0 cc",
    "restart -t 0 cc",
    "kill cc",
    "kill -s USR1 cc",
    "pause cc",
    "unpause cc",
    "rm cc",
    "rm -f cc",
    "rename cc dd",
    "update --restart no cc",
    "exec cc echo inside",
    "exec -d cc true",
    "attach --no-stdin --sig-proxy=false cc </dev/null & sleep 1; kill -9 $!",
    "logs cc",
    "top cc -o pid >/dev/null",
    "stats --no-stream --format '{{.Name}}' cc",
    "cp cc:/etc/group - >/dev/null",
    "cp /etc/hostname cc:/tmp/x",
    "diff cc >/dev/null",
    "export cc >/dev/null",
    "commit cc made:1",
    "inspect -f '{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.Restarting}}' cc",
    "run --name cc bb:1 true",
    "ps -a --format '{{.Names}} {{.State}}'",
    "port cc",
    "container prune -f | sed -n '/<\\|^[0-9a-f]/p'",
    "rm -v cc",
    "ps -q --filter status=running --filter status=restarting | wc -l",
)
"""Each is tried on a container `cc` in each of the states."""

LIMITED = ("wait cc", "start -a cc", "attach --no-stdin cc", "logs -f cc")
"""The same with six seconds at most: some wait for the end of the container."""


class Section(NamedTuple):
    """`setup` is run before the cases; what it prints is not looked at."""

    name: str
    setup: tuple[str, ...]
    cases: tuple[str, ...]


def sections() -> Iterator[Section]:
    """Those of the files in `cases`, then one for each state of a container."""
    for path in sorted(_DIRECTORY.glob("*.txt")):
        lines = [line for line in path.read_text("utf-8").splitlines() if line]
        setup = [line.removeprefix("setup: ") for line in lines if line.startswith("setup: ")]
        cases = [line for line in lines if not line.startswith(("#", "setup: "))]
        yield Section(path.stem, tuple(setup), tuple(cases))
    for state in STATES:
        limited = (f"timeout -s KILL 6 $D {verb}" for verb in LIMITED)
        yield Section(state, (), (*(f"$D {verb}" for verb in VERBS), *limited))
