import os

from rootless.supervisor.file_servers.file_server import FileServer, Replacements
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


def test_servers_that_are_killed_in_a_row_are_replaced_twenty_times_however_long_each_takes():
    for seconds in (0.1, 10, 59):
        replacements = Replacements()
        assert all(replacements.add(1000 + seconds * number) for number in range(20))
        assert not replacements.add(1000 + seconds * 20)


def test_server_that_has_served_for_some_time_ends_the_row():
    replacements = Replacements()
    assert all(replacements.add(1000 + 61 * number) for number in range(100))
