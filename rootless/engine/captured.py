"""Runs a command and captures its output, in a program of its own that executes it in a container.

The caller may have several threads, and so may not fork: `python -m rootless.engine.exec_program` joins
the container. Its standard streams are pipes of the caller's; it reports an error of the engine on a
fourth one.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from rootless.light_json import dumps, loads
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rootless.containers.storage_paths import StoragePaths
    from rootless.engine.engine import Engine
    from rootless.spec.exec_options import ExecOptions
    from rootless.spec.options import ContainerOptions


class Completed(NamedTuple):
    """How a command ended, and what it wrote. `status`: 128+n when signal n ended it."""

    status: int
    stdout: bytes
    stderr: bytes


def completed(status: int, pieces: Iterable[tuple[int, bytes]]) -> Completed:
    """Of the pieces of output with the number of their stream, 1 or 2."""
    output: dict[int, list[bytes]] = {1: [], 2: []}
    for number, data in pieces:
        output[number].append(data)
    return Completed(status, b"".join(output[1]), b"".join(output[2]))


def kept(options: ContainerOptions) -> ContainerOptions:
    """The options of a container whose output is read from its log: it has a log, and is not removed before
    that.
    """
    from rootless.spec.options import DEFAULT_LOG

    return options._replace(remove=False, log=DEFAULT_LOG, terminal=False, interactive=False)


def run_captured(engine: Engine, options: ContainerOptions) -> Completed:
    """Run a container to its end; see `Engine.run_captured`."""
    record = engine.run_detached(kept(options))
    try:
        return completed(engine.wait(record.id), engine.logs(record.id))
    finally:
        if options.remove:
            engine.remove(record.id, force=True)


def exec_argv(paths: StoragePaths, name: str, options: ExecOptions, report: int) -> list[str]:
    """The command line of the program. `report`: the descriptor that it reports an error on."""
    fields = options._asdict() | {"terminal": False, "detach": False, "interactive": True}
    fields["detach_keys"] = ""
    request = dumps({"paths": list(paths), "name": name, "options": fields})
    module = "rootless.engine.exec_program"
    return [sys.executable, "-P", "-m", module, str(report), request.decode()]


def exec_environment() -> dict[str, str]:
    """The environment of the program, which finds the modules of this process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}


@contextmanager
def reported_error() -> Iterator[int]:
    """A descriptor on which the program, which ends in the block, reports its error.

    Raises RootlessError or OSError, at the end of the block: why the command was not executed.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        yield writer
    finally:
        os.close(writer)
        with open(reader, "rb") as stream:
            report = stream.read()
    if report:
        from rootless.run_in_child import error_from

        raise error_from(loads(report))


def exec_captured(paths: StoragePaths, name: str, options: ExecOptions, data: bytes) -> Completed:
    """Run a command in a running container, with `data` as its standard input. Raises RootlessError."""
    import subprocess

    with reported_error() as writer:
        done = subprocess.run(
            exec_argv(paths, name, options, writer),
            input=data,
            capture_output=True,
            check=False,
            env=exec_environment(),
            pass_fds=(writer,),
        )
    return Completed(done.returncode, done.stdout, done.stderr)
