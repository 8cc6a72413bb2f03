"""`top`: the processes of a container as ps(1) lists them."""

from __future__ import annotations

import os
import pwd
import subprocess
import time

from rootless.containers.config import id_maps_of
from rootless.containers.processes.proc import ProcessStat, container_processes
from rootless.containers.status import Verb
from rootless.errors import RootlessError, UsageError
from rootless.runtime.idmap import to_inside
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.containers.record import ContainerRecord
    from rootless.runtime.idmap import IdRange

_TICKS = os.sysconf("SC_CLK_TCK")
_DAY = 86400
_FULL = ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")


class ProcessTable(NamedTuple):
    """Titles, and a row of cells for each process."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def list_processes(record: ContainerRecord, directory: str, options: Sequence[str]) -> ProcessTable:
    """The processes of a running container.

    Without options, or with -ef, as `ps -ef`, with the users of the container. With others it is what
    the host's ps(1) prints for them, with the users of the host, as docker top does.

    Args:
        directory: Of the container's config.json.
        options: Of ps(1).

    Raises:
        ConflictError: the container does not run.
        UsageError: ps(1) does not take the options, or they leave the column PID out.
        RootlessError: there is no ps(1).
    """
    record.require(Verb.TOP)
    processes = container_processes(record.pid)
    if not options or list(options) == ["-ef"]:
        uids = id_maps_of(directory).uids
        return ProcessTable(_FULL, tuple(_full(each, uids) for each in processes))
    return parse_ps(_ps(options, processes), {each.pid for each in processes})


def _full(process: ProcessStat, uids: tuple[IdRange, ...]) -> tuple[str, ...]:
    age = max(1, _uptime() - process.started // _TICKS)
    used = process.processor_time // _TICKS
    return (
        _user(to_inside(uids, process.uid)),
        str(process.pid),
        str(process.parent),
        str(min(99, used * 100 // age)),
        start_column(time.time() - age, time.time()),
        process.terminal,
        time_column(used),
        process.command,
    )


def _uptime() -> int:
    """Seconds since boot, suspended ones included, as start times are counted (proc_uptime(5))."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))


def _user(uid: int | None) -> str:
    """The name that the host has for the container's id, as docker top shows it."""
    if uid is None:
        return "?"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def start_column(moment: float, now: float) -> str:
    """STIME of ps(1): the time of today, else the day of this year, else the year."""
    then, today = time.localtime(moment), time.localtime(now)
    if then.tm_year != today.tm_year:
        return str(then.tm_year)
    return time.strftime("%H:%M" if then.tm_yday == today.tm_yday else "%b%d", then)


def time_column(seconds: int) -> str:
    """TIME of ps(1): [DD-]HH:MM:SS."""
    days, rest = divmod(seconds, _DAY)
    text = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days:02}-{text}" if days else text


def _ps(options: Sequence[str], processes: Sequence[ProcessStat]) -> str:
    """What ps(1) prints; of other processes too where the options cannot be combined with a list."""
    pids = ",".join(str(each.pid) for each in processes)
    done = None
    for words in ([*options, f"q{pids}"], list(options)):
        try:
            done = subprocess.run(["ps", *words], capture_output=True, check=False, timeout=60)
        except FileNotFoundError:
            raise RootlessError(
                "there is no ps(1) on this machine", hint="use 'rootless top' without options of ps"
            ) from None
        if done.returncode == 0:
            return done.stdout.decode(errors="surrogateescape")
    assert done is not None  # the loop has run
    reason = done.stderr.decode(errors="replace").strip().partition("\n")[0]
    raise UsageError(f"error running ps: {reason}")


def parse_ps(output: str, pids: set[int]) -> ProcessTable:
    """The rows of the processes in `pids`. Cells are separated by blanks, but for the last one.

    Raises UsageError if there is no column PID.
    """
    lines = output.splitlines()
    titles = tuple(lines[0].split()) if lines else ()
    if "PID" not in titles:
        raise UsageError("Couldn't find PID field in ps output")
    column = titles.index("PID")
    rows = []
    for line in lines[1:]:
        cells = line.split(None, len(titles) - 1)
        if len(cells) > column and cells[column].isdecimal() and int(cells[column]) in pids:
            rows.append(tuple(cells))
    return ProcessTable(titles, tuple(rows))
