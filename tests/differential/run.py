"""Runs the cases with one program, and takes from what is seen what no two runs have in common."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from tests.differential.cases import STATES, Section
from tests.support.waiting import wait_until

_TIMEOUT = 120
_RAMP = 6
"""Restarts after which the delay before the next one is 6 seconds, and long enough to try verbs in."""

_PATTERNS = [
    (r"sha256:[0-9a-f]{64}", "<DIGEST>"),
    (r"\b[0-9a-f]{64}\b", "<ID>"),
    (r"\b[0-9a-f]{12}\b", "<ID>"),
    (r"\d{4}-\d\d-\d\d[T ][\d:.]+ ?(Z|[+-]\d\d:?\d\d)?( [A-Z]+)?", "<TIME>"),
    (r"(\d+|Less than a|About an?) (second|minute|hour)s?( ago)?", "<AGE>"),
    (r" time \(\d+(\.\d+)?\)", " time (<TIME>)"),
    (r"/(tmp|var/tmp)/[^ :'\"]*/work/", "<HERE>/"),
    (r"/\S+/volumes/", "<STORE>/volumes/"),
    (r"/\S+-import-\d+", "<STORE>"),
    (r"\b(docker|rootless|podman)\b", "PROGRAM"),
    (r" {2,}", "  "),
    (r" +$", ""),
]
_PREFIX = re.compile(
    r"^((docker|rootless|podman|Error response from daemon|Error|ERROR): )+"
    r"(failed to create task for container: failed to create shim task: OCI runtime create failed: runc "
    r"create failed: unable to start container process: (error during container init: )?)?"
    r"(OCI runtime exec failed: exec failed: unable to start container process: )?"
)
"""Which program it is, and for docker, which of its programs found the mistake."""


class Seen(NamedTuple):
    """How one case ended: the exit status, standard output, the first line of standard error."""

    status: int
    stdout: str
    stderr: str


class Program(NamedTuple):
    """`words` are how a shell calls it."""

    words: str
    busybox: Path
    env: Mapping[str, str]

    def run(self, line: str, directory: Path) -> Seen:
        env = {**self.env, "D": self.words, "BB": str(self.busybox)}
        process = subprocess.Popen(
            ["timeout", "-s", "KILL", str(_TIMEOUT), "bash", "-c", line],
            cwd=directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = process.communicate()
        stdout, stderr = (
            each.decode(errors="replace").replace(str(self.busybox), "<BB>") for each in (out, err)
        )
        return Seen(process.returncode, normalised(stdout), message(stderr.partition("\n")[0]))


def normalised(text: str) -> str:
    """Without ids, times, paths of this run and the name of the program."""
    for pattern, word in _PATTERNS:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return text


_WORDINGS = [
    (r"^invalid argument (\S+|'[^']*') for (\S+|\"[^\"]*\"):? ?(flag:)? ", ""),
    (r"^invalid volume specification: '[^']*': ", ""),
    (r"^invalid mount config for type \"\w+\": ", ""),
    (r"^(template parsing error: |failed to execute template: |failed to parse template: )", ""),
    (r"^failed to (build: |solve: )+(failed to solve: )?", ""),
    (r"(checksum of ref) \S+::\w+", r"\1"),
    (r"^failed to (export container|save image): ", ""),
    (r"^failed to create task for container: failed to initialize logging driver: ", ""),
    (r"^error (when allocating new name|parsing specified platform|parsing reference): ", ""),
    (r"strconv\.(parseint|atoi): parsing \S+: invalid syntax", "not a whole number"),
    (r"strconv\.parsebool: parsing \S+: invalid syntax", "not true or false"),
    (r"^invalid output path \S+: ", ""),
    (r"[\"'`]", ""),
    (r"\.$", ""),
    (r": invalid argument$", ""),
    (r"(invalid reference format)(: .*)?", r"\1"),
]


def meaning(message: str) -> str:
    """What two programs have in common that report one mistake: without case, quotes, and the words for
    where it was found.
    """
    text = message.lower()
    for pattern, word in _WORDINGS:
        text = re.sub(pattern, word, text)
    return text


def message(line: str) -> str:
    """An error without the words that say only which program reports it."""
    return normalised(_PREFIX.sub("", line.rstrip("\r")).removesuffix(": unknown"))


def run_section(program: Program, section: Section, directory: Path) -> dict[str, Seen]:
    """What was seen of each case. Removes every container, volume, network and image before and afterwards."""
    directory.mkdir(parents=True, exist_ok=True)
    _clear(program, directory)
    program.run("$D import $BB bb:1", directory)
    for line in section.setup:
        program.run(line, directory)
    seen: dict[str, Seen] = {}
    for case in section.cases:
        if section.name in STATES:
            _bring_to(program, section.name, directory)
        result = program.run(case, directory)
        if section.name in STATES:
            after = _state(program, directory).status or "gone"
            # A container that is restarting runs every now and then.
            after = "restarting" if (section.name, after) == ("restarting", "running") else after
            result = result._replace(stdout=f"{result.stdout}then {after}\n")
        seen[case] = result
    _clear(program, directory)
    return seen


def _clear(program: Program, directory: Path) -> None:
    program.run('c=$($D ps -aq); [ -z "$c" ] || $D rm -f $c', directory)
    program.run('n=$($D network ls -q -f type=custom); [ -z "$n" ] || $D network rm $n', directory)
    program.run('v=$($D volume ls -q); [ -z "$v" ] || $D volume rm -f $v', directory)
    program.run('i=$($D images -q | sort -u); [ -z "$i" ] || $D rmi -f $i', directory)


def _bring_to(program: Program, state: str, directory: Path) -> None:
    """Have one container, `cc`, and have it in this state."""
    program.run("$D rm -f dd >/dev/null 2>&1", directory)
    if state == "restarting":
        _bring_to_restarting(program, directory)
        return
    program.run("$D rm -f cc", directory)
    sleeping = "--name cc --network none bb:1 sleep 1000"
    setup: Mapping[str, Sequence[str]] = {
        "created": [f"$D create {sleeping}"],
        "running": [f"$D run -d {sleeping}"],
        "exited": [f"$D run -d {sleeping}", "$D kill cc"],
    }
    for line in setup[state]:
        program.run(line, directory)


def _bring_to_restarting(program: Program, directory: Path) -> None:
    """With the next restart some seconds away."""

    def has_time() -> bool:
        seen = _state(program, directory)
        if seen.policy == "always" and seen.status == "restarting":
            return seen.restarts >= _RAMP and seen.age < 0.05 * 2**seen.restarts
        if seen.policy != "always" or seen.status != "running":
            program.run("$D rm -f cc", directory)
            program.run("$D run -d --name cc --restart always --network none bb:1 false", directory)
        return False

    wait_until(has_time)


class _State(NamedTuple):
    """Of the container `cc`. `age`: for how many seconds it has ended."""

    status: str
    restarts: int = 0
    policy: str = ""
    age: float = 0.0


def _state(program: Program, directory: Path) -> _State:
    fields = (
        "Name",
        "State.Status",
        "RestartCount",
        "HostConfig.RestartPolicy.Name",
        "State.FinishedAt",
    )
    line = f"$D inspect -f '{'/'.join(f'{{{{.{field}}}}}' for field in fields)}' cc"
    env = {**program.env, "D": program.words}
    shown = subprocess.run(
        ["bash", "-c", line], cwd=directory, env=env, capture_output=True, check=False, text=True
    )
    shown_name = shown.stdout.strip().removeprefix("/") + "////"
    name, status, restarts, policy, finished = shown_name.split("/")[:5]
    if name != "cc":
        return _State("")  # of another container the id begins so
    # Microseconds, in UTC, are what every program's format begins with.
    moment = re.match(r"(\d+-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(\.\d{1,6})?)", finished)
    if moment is None:
        return _State(status)
    ended = datetime.fromisoformat(f"{moment[1]}T{moment[2]}+00:00").timestamp()
    return _State(status, int(restarts), policy, time.time() - ended)
