"""Runs commands on the host's own files, copy on write, for a Python program: see `Engine.try_`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

from rootless.spec.exec_options import ExecOptions
from rootless.spec.options import TraceOptions

if TYPE_CHECKING:
    from rootless.applying.apply import Applied
    from rootless.applying.plan import Left
    from rootless.changes.change import Change
    from rootless.engine.captured import Completed
    from rootless.engine.engine import Engine
    from rootless.network.options import NetworkOptions
    from rootless.tracing.trace import Trace


class TrySession:
    """One layer over the host's files, which commands change one after the other. `name` is the container's. Used in
    a `with` block, which drops it unless `keep` is set."""

    def __init__(self, engine: Engine, name: str, *, keep: bool = False) -> None:
        self._engine = engine
        self.name = name
        self._keep = keep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._keep:
            self._engine.begin_stop(self.name)()
        else:
            self._engine.remove(self.name, force=True)

    def exec(self, *command: str, data: bytes = b"") -> Completed:
        """Run a command with `data` as its standard input. Returns its status and output. Raises LaunchError if it
        cannot be executed.
        """
        return self._engine.exec_captured(self.name, ExecOptions(command), data)

    def changes(self, paths: Sequence[str] = ()) -> list[Change]:
        """The changes of the commands up to now, at or in `paths`, or all."""
        found = self._engine.changes(self.name, paths, directory=os.getcwd() if paths else "/")
        return [each for each in found.listed() if not each.is_bare]

    def trace(self, paths: Sequence[str] = ()) -> Trace:
        """The files that the commands have read, listed and looked for up to now, at or in `paths`, or all.
        Raises UsageError if the session is not traced.
        """
        return self._engine.trace(self.name, paths, directory=os.getcwd() if paths else "/")

    def diff(self, paths: Sequence[str] = ()) -> bytes:
        """The changes as a unified diff."""
        found = self._engine.changes(self.name, paths, directory=os.getcwd() if paths else "/")
        with found.diff() as pieces:
            return b"".join(pieces)

    def apply(
        self, paths: Sequence[str] = (), *, overrules: bool = False, check: bool = False
    ) -> Applied:
        """Make the changes at or in `paths`, or all, on the host. See
        `rootless.applying.apply.Applying.apply`.
        """
        applying = self._engine.applying(self.name)
        wanted = applying.paths_in(paths, os.getcwd() if paths else "/")
        return applying.apply(wanted, overrules=overrules, check=check)

    def undo(self) -> list[Left]:
        """Undo the last apply. Returns the files that have changed since; if there are any, nothing is undone."""
        return self._engine.applying(self.name).undo()


def start_session(
    engine: Engine,
    on: Sequence[str],
    through: Sequence[str],
    hide: Sequence[str],
    *,
    network: NetworkOptions | None,
    name: str | None,
    keep: bool,
    trace: bool,
    environ: Mapping[str, str],
) -> TrySession:
    """Start the container of a session; the arguments are those of `Engine.try_`. Raises RootlessError."""
    from rootless.network.options import HOST, NetworkOptions
    from rootless.trying.hiding import hidden_paths
    from rootless.trying.request import TryRequest, new_name, options_of_try

    written = tuple(map(os.path.realpath, through))
    request = TryRequest(
        command=("sleep", "infinity"),
        name=name or new_name(os.urandom(8).hex()),
        on=tuple(map(os.path.realpath, on)),
        through=written,
        hidden=hidden_paths(map(os.path.abspath, hide), environ, os.path.expanduser("~"), written),
        network=network or NetworkOptions(HOST),
        trace=TraceOptions() if trace else None,
    )
    umask = os.umask(0o022)
    os.umask(umask)
    options = options_of_try(request, environ, directory=os.getcwd(), umask=umask)
    engine.run_detached(options._replace(interactive=False))
    return TrySession(engine, request.name, keep=keep)
