"""A program that creates a container, leaves it to its monitor without starting it, and ends. Prints the
directory of the control socket and the PIDs of the container and of the monitor.

    python -m tests.support.created [--threads] [--start] WORD...

With `--start` the program asks for the start and ends at once.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from rootless import ContainerOptions
from rootless.containers.launch_description import LaunchDescription
from rootless.containers.storage_paths import StoragePaths
from rootless.engine.preparation.prepare import prepare
from rootless.paths import data_root, runtime_root
from rootless.spec.storage_driver import StorageDriver
from rootless.supervisor.protocol import Kind
from rootless.supervisor.start import start


def main(words: list[str]) -> None:
    """Create a container of the machine's own files that runs `words`."""
    if "--threads" in words:
        words.remove("--threads")
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    asks_for_start = "--start" in words
    if asks_for_start:
        words.remove("--start")
    paths = StoragePaths(
        store=data_root(os.environ, str(Path.home())),
        runtime=runtime_root(os.environ, os.getuid()),
    )
    options = ContainerOptions(rootfs="/", command=tuple(words), name="held")
    # Until the monitor has written its own PID, the container belongs to this process.
    description: LaunchDescription = prepare(
        options, paths, os.environ, StorageDriver.UNIONFS, monitor=os.getpid()
    )
    started = start(description._replace(ends_with_client=False))
    started.client.hello()
    if asks_for_start:
        started.client.start()
        return
    ready = started.client.receive_until(Kind.READY)
    print(description.control_directory, ready.fields["pid"], started.pid)


if __name__ == "__main__":
    main(sys.argv[1:])
