"""Makes a slim image: runs the commands traced, makes an image of the files they used, and runs them in it before it
gets its name. See `Engine.slim`.

Until then the new image is in a store of its own in the temporary directory of the store, which the next command that adds
an image sweeps if this process is killed. Each container belongs to a child process, and ends with it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rootless.errors import LaunchError, RootlessError, UsageError
from rootless.network.options import DEFAULT_NETWORK, NetworkOptions
from rootless.run_in_child import ChildCall
from rootless.spec.options import ContainerOptions, TraceOptions
from rootless.spec.storage_driver import StorageDriver
from rootless.tracing.document import load_document, read_trace
from rootless.tracing.trace import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.engine.engine import Engine
    from rootless.store.image import Image

_HINT = "--include keeps files that were not seen to be used"
_SHOWN = 2000
"""Bytes of output that an error shows."""


class SlimRequest(NamedTuple):
    """The options of a slim image.

    Args:
        image: A name or an id.
        commands: As the arguments of `run`; an empty one stands for the command of the image.
        tag: Empty for the name of the image with `.slim` after the repository.
        included: Absolute paths that are kept with all below, used or not.
        excluded: Absolute paths that are left out, used or not.
        compares_output: The output of the commands has to be the same in the new image.
        stop_after: Seconds after which a command that still runs is stopped, as a server has to be; it has to run as long
            in the new image. None: each command ends by itself.
        variables, network: Of the containers that the commands run in.
    """

    image: str
    commands: tuple[tuple[str, ...], ...] = ((),)
    tag: str = ""
    included: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    compares_output: bool = False
    stop_after: int | None = None
    variables: tuple[tuple[str, str | None], ...] = ()
    network: NetworkOptions = DEFAULT_NETWORK


class Trial(NamedTuple):
    """The exit status and the output of a command. `stopped`: it still ran after `stop_after`."""

    status: int
    stdout: bytes
    stderr: bytes
    stopped: bool = False


class SlimImage(NamedTuple):
    """The new image. Sizes are bytes of the uncompressed layers. `trials` are those in the original image."""

    id: str
    tag: str
    size_before: int
    size: int
    trials: tuple[Trial, ...]


def slim(engine: Engine, environ: Mapping[str, str], request: SlimRequest) -> SlimImage:
    """Make the image; the calling process must have one thread. See `Engine.slim`."""
    from rootless.containers.timestamps import time_of_making
    from rootless.engine.engine import Engine
    from rootless.oci.reference import parse_tag
    from rootless.slimming.image import make_slim_image
    from rootless.slimming.selection import selected
    from rootless.store.image import resolve
    from rootless.store.ingest import Ingest
    from rootless.store.layers import image_size
    from rootless.store.layout import Store

    store = Store.open(engine.paths.store, engine.paths.shared)
    store.require_writable()
    base = resolve(store, request.image)
    tag = parse_tag(request.tag or _default_tag(base, request.image))
    with Ingest(store) as scratch:
        trials, used = _traced(engine, request, base.id, scratch.directory)
        used |= set(map(_relative, _places_of(base.config)))
        other = Engine(
            root=scratch.directory / "store", runroot=engine.paths.runtime, environ=environ
        )
        made = make_slim_image(
            store,
            base,
            Store.open(other.paths.store, ()),
            lambda snapshot: selected(
                snapshot,
                used,
                list(map(os.fsencode, request.included)),
                list(map(os.fsencode, request.excluded)),
                volumes=list(map(os.fsencode, _volumes_of(base.config))),
            ),
            created=time_of_making(environ),
            tag=tag,
        )
        _check(other, request, made.id, scratch.directory, trials)
        engine.load(Path(other.paths.store))
    image = resolve(store, made.id)
    return SlimImage(
        made.id, tag.familiar, image_size(store, base), image_size(store, image), tuple(trials)
    )


def _traced(
    engine: Engine, request: SlimRequest, image: str, scratch: Path
) -> tuple[list[Trial], set[bytes]]:
    """Run the commands in the image. Returns how they ended, and the paths of the files that they used."""
    trials: list[Trial] = []
    used: set[bytes] = set()
    for number, command in enumerate(request.commands):
        file = scratch / f"trace-{number}"
        options = _options(request, image, command)._replace(
            trace=TraceOptions(str(file), every_name=True)
        )
        trials.append(_run(engine, options, scratch, request.stop_after))
        used |= _used(file)
    return trials, used


def _check(
    engine: Engine, request: SlimRequest, image: str, scratch: Path, trials: Sequence[Trial]
) -> None:
    """Run the commands in the slim image. Raises RootlessError for one that ends otherwise than in the original one."""
    for command, before in zip(request.commands, trials, strict=True):
        options = _options(request, image, command)
        try:
            after = _run(engine, options, scratch, request.stop_after)
        except LaunchError as error:
            raise RootlessError(f"in the slim image: {error.message}", hint=_HINT) from error
        _compare(before, after, compares_output=request.compares_output)


def _default_tag(base: Image, name: str) -> str:
    """The name that was given, or, for an id, the first one of the image, with `.slim` after the repository. Raises
    UsageError if the image has none.
    """
    if not base.tags:
        raise UsageError("an image without a name needs --tag")
    given = [each for each in base.tags if name in {each.familiar, each.familiar_name, str(each)}]
    tag = given[0] if given else base.tags[0]
    return f"{tag.familiar_name}.slim:{tag.tag}"


def _places_of(config: Mapping[str, object]) -> list[str]:
    """Directories that the configuration names."""
    directory = config.get("WorkingDir")
    return [str(directory)] if directory else []


def _volumes_of(config: Mapping[str, object]) -> list[str]:
    """Mount points of volumes, which begin with what the image has there, unseen by a trace."""
    volumes = config.get("Volumes")
    return list(map(str, volumes)) if isinstance(volumes, dict) else []


def _relative(path: str) -> bytes:
    return os.fsencode(os.path.normpath(path)).strip(b"/")


def _options(request: SlimRequest, image: str, command: tuple[str, ...]) -> ContainerOptions:
    return ContainerOptions(
        image=image,
        storage_driver=StorageDriver.UNIONFS,
        name=f"slim-{os.urandom(6).hex()}",
        remove=True,
        command=command,
        variables=request.variables,
        network=request.network,
    )


def _run(
    engine: Engine, options: ContainerOptions, directory: Path, stop_after: int | None
) -> Trial:
    """Run a container in a child process, without input, to its end or for `stop_after` seconds; it ends with the
    child. Raises RootlessError.
    """
    outputs = [directory / "stdout", directory / "stderr"]

    def run() -> int:
        from rootless.light_stdlib import signal
        from rootless.syscalls import processes

        processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL)
        _redirect(0, os.devnull, os.O_RDONLY)
        for number, path in enumerate(outputs, 1):
            _redirect(number, str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        return engine.run(options).status

    call = ChildCall(run)
    try:
        stopped = stop_after is not None and not _ends_within(call.pid, stop_after)
        if stopped:
            engine.stop(options.name or "")
    except BaseException:
        call.kill()
        raise
    status: int = call.result()
    stdout, stderr = (path.read_bytes() for path in outputs)
    return Trial(status, stdout, stderr, stopped)


def _ends_within(pid: int, seconds: int) -> bool:
    """Whether a child ends in time; it is not waited for."""
    from select import POLLIN, poll

    descriptor = os.pidfd_open(pid)
    try:
        waiting = poll()
        waiting.register(descriptor, POLLIN)
        return bool(waiting.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def _redirect(number: int, path: str, flags: int) -> None:
    descriptor = os.open(path, flags, 0o600)
    os.dup2(descriptor, number)
    os.close(descriptor)


def _used(file: Path) -> set[bytes]:
    """Relative paths of what a trace says was there and used."""
    try:
        document = load_document(file.read_bytes(), str(file))
    except FileNotFoundError:
        raise RootlessError("the file server of the container wrote no trace") from None
    trace = read_trace(document, str(file))
    if not trace.complete:
        raise RootlessError("the trace is not complete: the file server was killed; try again")
    return {each.path.strip(b"/") for each in trace.accesses if each.kind is not Kind.MISSING}


def _compare(before: Trial, after: Trial, *, compares_output: bool) -> None:
    """Raises RootlessError if the command ends otherwise in the slim image."""
    if before.stopped != after.stopped or (before.status != after.status and not before.stopped):
        last = after.stderr[-_SHOWN:].decode(errors="replace").strip()
        said = f": {last}" if last else ""
        raise RootlessError(
            f"the command {_ending(after)} in the slim image, and {_ending(before)} before{said}",
            hint=_HINT,
        )
    if compares_output and before[1:3] != after[1:3]:
        where = "standard output" if before.stdout != after.stdout else "standard error"
        raise RootlessError(f"the command writes another {where} in the slim image", hint=_HINT)


def _ending(trial: Trial) -> str:
    return "has to be stopped" if trial.stopped else f"ends with status {trial.status}"


def commands_of(first: Sequence[str], also: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The commands of a command line: one in words, and further ones as a shell quotes them. Raises UsageError."""
    import shlex

    try:
        return (tuple(first), *(tuple(shlex.split(each)) for each in also))
    except ValueError as error:
        raise UsageError(f"--also: {error}") from error
