"""The public Python API: an `Engine` over one store, with what the commands do as methods.

from rootless import Engine, RunRequest
request = RunRequest(image="debian:12", command=("true",), remove=True)
status = Engine().run(request).status
"""

from __future__ import annotations

import os

from rootless.engine.places import Places
from rootless.errors import InUseError, UsageError
from rootless.launcher.request import RunRequest
from rootless.paths import data_root, runtime_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from rootless.engine.container import Container
    from rootless.engine.doctor import Finding
    from rootless.engine.foreground import Outcome
    from rootless.images.inspect import HistoryEntry
    from rootless.images.listing import ListedImage
    from rootless.images.load import LoadedImage
    from rootless.images.remove import Removal
    from rootless.oci.platform import Platform
    from rootless.state.record import ContainerRecord
    from rootless.store.layout import Store

_KILL_WAIT = 10.0


class Engine:
    """One store and what can be done with it. Holds nothing open; several may use one store.

    Args:
        root: The store; by default $ROOTLESS_ROOT, else below $XDG_DATA_HOME.
        runroot: Sockets and locks; by default $ROOTLESS_RUNROOT, else below $XDG_RUNTIME_DIR.
        debug: Say each step of a start on standard error.
    """

    def __init__(
        self,
        *,
        root: str | os.PathLike[str] | None = None,
        runroot: str | os.PathLike[str] | None = None,
        debug: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._environ = os.environ if environ is None else environ
        home = os.path.expanduser("~")
        self.places = Places(
            store=os.path.abspath(root) if root else data_root(self._environ, home),
            runtime=os.path.abspath(runroot)
            if runroot
            else runtime_root(self._environ, os.getuid()),
        )
        self._debug = debug

    # Containers.

    def run(self, request: RunRequest) -> Outcome:
        """Run a container in the foreground, connected to this process's standard streams, to its
        end.

        The process must have one thread. Raises RootlessError if it could not be started.
        """
        from rootless.engine.foreground import Attachment, run_in_foreground

        attachment = Attachment(*_attached(request), signals=request.sig_proxy)
        if request.tty and attachment.stdin and not os.isatty(0):
            raise NotATerminalError("the input device is not a TTY")

        def prepare() -> Container:
            from rootless.engine.preparation import prepare

            return prepare(request, self.places, self._environ)

        return run_in_foreground(prepare, attachment, terminal=request.tty, debug=self._debug)

    def containers(self) -> list[ContainerRecord]:
        """Every container, oldest first."""
        from rootless.engine.records import sweep

        sweep(self.places.containers)
        return self.places.containers.all()

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a container. Raises NotFoundError, InUseError if it runs and `force` is not set."""
        from rootless.engine.records import kill_and_wait, sweep
        from rootless.state.status import Status

        containers = self.places.containers
        sweep(containers)
        record = containers.find(name)
        if record.status is not Status.EXITED:
            if not force:
                raise InUseError(
                    f"cannot remove container {name!r}: container is {record.status.value}",
                    hint="stop it first, or use --force",
                )
            kill_and_wait(record, _KILL_WAIT)
        containers.remove(record.id)

    def inspect_container(self, name: str) -> dict[str, Any]:
        """What Docker's inspect says of a container. Raises NotFoundError."""
        from pathlib import Path

        from rootless.engine.inspection import container_document

        containers = self.places.containers
        record = containers.find(name)
        return container_document(record, Path(containers.directory(record.id)))

    # The engine itself.

    def examine(self) -> list[Finding]:
        """What containers need of this machine, each found out by trying it."""
        from rootless.engine.doctor import examine

        return examine(self._environ, store=self.places.store, runtime=self.places.runtime)

    def info(self) -> dict[str, Any]:
        """What this engine is and stands on, with the keys of Docker's info."""
        from rootless.engine.information import information

        return information(self._environ, self.places, self.containers(), self._store())

    # Images.

    def images(
        self, name: str | None = None, filters: Sequence[tuple[str, str]] = ()
    ) -> list[ListedImage]:
        """One row per name of every image, newest first."""
        from rootless.images.listing import list_images

        return list_images(self._store(), name, filters)

    def load(self, source: Path | int, *, platform: str | None = None) -> list[LoadedImage]:
        """Load every image of an archive, by path or by descriptor."""
        from rootless.images.load import load

        return load(self._store(), source, platform=_platform(platform))

    def import_rootfs(
        self,
        source: Path | int,
        *,
        reference: str | None = None,
        changes: Sequence[str] = (),
        message: str | None = None,
        platform: str | None = None,
    ) -> LoadedImage:
        """Make an image of one layer of a root file system archive."""
        from rootless.engine.clock import now
        from rootless.images.import_tar import import_tar

        return import_tar(
            self._store(),
            source,
            reference=reference,
            created=now(),
            changes=changes,
            message=message,
            platform=_platform(platform),
        )

    def save(
        self, names: Sequence[str], output: Path | int, *, form: str = "docker-archive"
    ) -> None:
        """Write images to one archive, by path or by descriptor. Raises UsageError for a format
        that does not exist.
        """
        from rootless.images.save import Format, save

        known = {each.value: each for each in Format}
        if form not in known:
            raise UsageError(f"--format {form!r} is not known", hint=f"one of {', '.join(known)}")
        save(self._store(), names, output, known[form])

    def tag(self, source: str, target: str) -> None:
        """Give an image another name."""
        from rootless.images.tag import tag

        tag(self._store(), source, target)

    def remove_image(self, name: str, *, force: bool = False) -> list[Removal]:
        """Take a name away, and the image with its last one; says what was done."""
        from rootless.images.remove import remove

        return remove(self._store(), name, self.containers, force=force)

    def history(self, name: str) -> list[HistoryEntry]:
        """The steps that made an image, newest first."""
        from rootless.images.inspect import history
        from rootless.store.image import resolve

        store = self._store()
        return history(store, resolve(store, name))

    def inspect_image(self, name: str) -> dict[str, Any]:
        """What Docker's inspect says of an image. Raises NotFoundError."""
        from rootless.images.inspect import inspect
        from rootless.store.image import resolve

        store = self._store()
        return inspect(store, resolve(store, name))

    def _store(self) -> Store:
        from rootless.store.layout import Store

        return Store.open(self.places.store)


class NotATerminalError(UsageError):
    """-i -t without a terminal on standard input; Docker's client exits with 1."""

    exit_status = 1
    code = "not-a-terminal"


def _attached(request: RunRequest) -> tuple[bool, bool, bool]:
    """Which streams are connected: -a where it was given, else what -i says and both outputs."""
    if not request.attach:
        return request.interactive, True, True
    wanted = {stream.lower() for stream in request.attach}
    unknown = wanted - {"stdin", "stdout", "stderr"}
    if unknown:
        raise UsageError("valid streams are STDIN, STDOUT and STDERR")
    return (
        request.interactive and "stdin" in wanted,
        "stdout" in wanted,
        "stderr" in wanted,
    )


def _platform(text: str | None) -> Platform | None:
    from rootless.oci.platform import parse_platform

    return None if text is None else parse_platform(text)
