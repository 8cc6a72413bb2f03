import os

from rootless.supervisor.file_servers.file_server import FileServer
from rootless.syscalls import descriptors


def test_reason_of_a_server_that_fails_once_it_is_to_end_is_known():
    ours, theirs = descriptors.pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        theirs.recv(1)
        theirs.send(b"No space left on device")
        os._exit(1)
    theirs.close()
    server = FileServer(pid, ours)
    server.end(20)
    assert (
        server.exit_reason() == "the file server of the container failed: No space left on device"
    )
