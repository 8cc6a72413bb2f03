"""`trace`: lists the files that a container has read, listed and looked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from rootless.changes.names import quoted
from rootless.cli.context import Settings, current_directory, engine_of
from rootless.cli.grammar import Command, Flag, GrammarError, Parsed, Texts
from rootless.cli.output import human_size
from rootless.cli.process import write_bytes
from rootless.errors import UsageError
from rootless.tracing.trace import Access, Kind, Process

_KINDS = tuple(each.value for each in Kind)
KIND = Texts(
    ("kind",),
    "Only accesses of this kind: read, listed, missing, found (default: all but found)",
    "KIND",
    choices=_KINDS,
)
NAME_ONLY = Flag(("name-only",), "Print paths only")
NULL = Flag(("null", "z"), "With --name-only, end each path by a NUL and quote none")
JSON = Flag(("json",), "Print the whole trace as a JSON document")

_MOST_PROCESSES = 4


def trace(parsed: Parsed, settings: Settings) -> int:
    """Print the accesses, in the order of their first times."""
    if parsed[JSON] and (parsed[KIND] or parsed[NAME_ONLY]):
        raise GrammarError("--json excludes --kind and --name-only")
    name, *paths = parsed.arguments
    engine, directory = engine_of(settings), current_directory()
    if parsed[JSON]:
        from rootless.light_json import dumps

        write_bytes(dumps(engine.trace_document(name, paths, directory=directory)) + b"\n")
        sys.stdout.flush()
        return 0
    kinds = _kinds(parsed[KIND])
    found = engine.trace(name, paths, directory=directory)
    if not found.complete:
        print(
            "rootless: the trace is not complete: the file server of the container was replaced",
            file=sys.stderr,
        )
    for access in found.accesses:
        if access.kind not in kinds:
            continue
        if parsed[NAME_ONLY]:
            data = access.path + b"\0" if parsed[NULL] else quoted(access.path) + b"\n"
        else:
            data = access_line(access).encode(errors="surrogateescape") + b"\n"
        write_bytes(data)
    sys.stdout.flush()
    return 0


def access_line(access: Access) -> str:
    """An access: what was done, the path, how much of it, by which processes, and when."""
    ending = b"/" if access.kind is Kind.LISTED and access.path != b"/" else b""
    path = os.fsdecode(quoted(access.path + ending))
    return f"{access.kind.value:<8} {path}  ({', '.join(_details(access))})"


def _details(access: Access) -> Iterator[str]:
    if access.kind is Kind.READ:
        yield human_size(access.bytes)
    yield from map(_process, access.processes[:_MOST_PROCESSES])
    if len(access.processes) > _MOST_PROCESSES:
        yield f"and {len(access.processes) - _MOST_PROCESSES} more"
    first, last = _time(access.first_ns), _time(access.last_ns)
    yield first if first == last else f"{first} to {last}"


def _process(process: Process) -> str:
    if not process.pid:
        return "outside"
    name = os.fsdecode(quoted(process.name.encode()))
    return f"{name} {process.pid}" if name else f"process {process.pid}"


def _time(nanoseconds: int) -> str:
    from time import localtime

    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    at = localtime(seconds)
    return f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}.{rest // 1_000_000:03}"


def _kinds(words: tuple[str, ...]) -> set[Kind]:
    unknown = [word for word in words if word not in _KINDS]
    if unknown:
        raise UsageError(f"--kind {unknown[0]}: unknown kind", hint=f"one of {', '.join(_KINDS)}")
    return {Kind(word) for word in words} or set(Kind) - {Kind.FOUND}


TRACE = Command(
    "trace",
    "Show which files a container has read, listed and looked for",
    "CONTAINER [PATH...]",
    (KIND, NAME_ONLY, NULL, JSON),
    trace,
    least=1,
    operand="container",
    description="""List what a container that was started with --trace has read, listed and looked for in vain, in the
order of the first accesses: with the bytes that were read, the processes, and the first and last time. With PATHs
only what is at or in one of them. The container may be running or not.

Accesses are noted as far as the kernel asks the file server of the container: each file with contents that is read,
and each name that is looked for, at least once. What the kernel then has in its caches is not noted again, not even
for another process.""",
)
