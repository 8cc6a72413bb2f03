"""`run --record`: a container in the foreground whose shell records what is typed."""

from __future__ import annotations

import os
import shutil
import tempfile

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.pull_in_child import ShowProgress
    from rootless.recording.dockerfile import Beginning
    from rootless.spec.options import ContainerOptions


def run_recorded(
    engine: Engine, options: ContainerOptions, path: str, progress: ShowProgress | None
) -> int:
    """Run the container, and write the Dockerfile when it has ended. Its status."""
    from rootless.durable import write_atomically
    from rootless.recording.dockerfile import dockerfile_of
    from rootless.recording.log import decode_log
    from rootless.recording.shell import LOG, make_recording

    if not options.terminal or not options.interactive:
        raise UsageError("--record records what is typed at a terminal", hint="use it with -it")
    if options.image is None:
        raise UsageError("--record needs an image, which the Dockerfile begins with")
    os.makedirs(engine.paths.runtime, 0o700, exist_ok=True)
    directory = tempfile.mkdtemp(prefix="recording-", dir=engine.paths.runtime)
    try:
        make_recording(directory)
        outcome = engine.run(options, progress=progress, recording=directory)
        with open(f"{directory}/{LOG}", "rb") as file:
            typed = decode_log(file.read())
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    text = dockerfile_of(_beginning(options, options.image), typed)
    write_atomically(os.path.abspath(path), text.encode(errors="surrogateescape"))
    return outcome.status


def _beginning(options: ContainerOptions, image: str) -> Beginning:
    from rootless.recording.dockerfile import Beginning

    given = tuple((name, value) for name, value in options.variables if value is not None)
    return Beginning(image, options.user or "", options.workdir or "", given)
