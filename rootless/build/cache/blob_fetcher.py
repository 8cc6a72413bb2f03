"""Downloads blobs of registries for a build, in one process of its own.

The client of registries has threads, and a building process forks, for which it must have one thread. The process stays
for all downloads of a build, with its connections and tokens, and ends with the building process.
"""

from __future__ import annotations

import marshal
import os
import socket
from pathlib import Path

from rootless.errors import RootlessError
from rootless.light_stdlib import signal
from rootless.oci.manifest import Descriptor
from rootless.run_in_child import ChildCall, error_fields, error_from
from rootless.syscalls.processes import PR_SET_PDEATHSIG, prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.oci.reference import Reference
    from rootless.registry.remote import Remote

_MOST_BYTES = 1 << 16


class BlobFetcher:
    """The process that downloads for the calling one, which started it."""

    def __init__(self, environ: Mapping[str, str], scratch: Path) -> None:
        """`scratch`: a directory for what is not complete."""
        self.owner = os.getpid()
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = self.owner

        def serve() -> None:
            mine.close()
            # A worker has a handler of its own, to end its container.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == parent:
                _serve(theirs, environ, scratch)

        try:
            self._call = ChildCall(serve)
        finally:
            theirs.close()
        self._socket = mine

    def fetch(self, reference: Reference, blob: Descriptor, path: Path) -> None:
        """Write a blob of a repository to a file, verified. Raises RootlessError, OSError."""
        request = str(reference), blob.media_type, blob.digest, blob.size, str(path)
        try:
            self._socket.send(marshal.dumps(request))
            answer = self._socket.recv(_MOST_BYTES)
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
        if not answer:
            raise RootlessError("the process that downloads has ended unexpectedly")
        fields = marshal.loads(answer)
        if fields is not None:
            raise error_from(fields)

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._call.kill()

    def leave(self) -> None:
        """Forget the process of another one, which this was forked from."""
        self._socket.close()


def _serve(requests: socket.socket, environ: Mapping[str, str], scratch: Path) -> None:
    import trio

    from rootless.oci.reference import parse_reference
    from rootless.registry.configuration import ClientEnv
    from rootless.registry.remote import Remote, RemoteOptions, run_remote

    async def work() -> None:
        async with Remote(ClientEnv.of_caller(environ), RemoteOptions()) as remote:
            while data := await trio.to_thread.run_sync(requests.recv, _MOST_BYTES):
                name, media_type, digest, size, path = marshal.loads(data)
                blob = Descriptor(media_type, digest, size)
                answer = None
                try:
                    await _download(remote, parse_reference(name), blob, scratch, Path(path))
                except (RootlessError, OSError) as error:
                    answer = error_fields(error)
                requests.send(marshal.dumps(answer))

    run_remote(work)


async def _download(
    remote: Remote, reference: Reference, blob: Descriptor, scratch: Path, path: Path
) -> None:
    from rootless.images.transfer.copy_graph import RepositorySource

    failure: RootlessError | None = None
    for client in remote.readers(reference):
        source = RepositorySource(client, remote.options.timing, scratch)
        try:
            file = await source.blob(blob, lambda _: None)
        except RootlessError as error:
            failure = error
            continue
        assert isinstance(file.content, Path)
        os.rename(file.content, path)
        return
    assert failure is not None
    raise failure
