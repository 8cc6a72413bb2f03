"""Which process a thread belongs to."""

import os
import threading
from pathlib import Path

import pytest

from rootless.supervisor.file_servers import thread_identities
from rootless.supervisor.file_servers.thread_identities import ThreadIdentities

OWN = Path("/proc/self/comm").read_text().rstrip("\n")


def identities_of(monkeypatch, *, old_kernel):
    if old_kernel:

        def refuse(*_):
            raise OSError(25, os.strerror(25))

        monkeypatch.setattr(thread_identities, "ioctl", refuse)
    return ThreadIdentities(os.getpid())


@pytest.mark.parametrize("old_kernel", [False, True])
def test_process_of_the_namespace_is_found_by_its_number(monkeypatch, old_kernel):
    status = Path("/proc/self/status").read_text().splitlines()
    (numbers,) = [line.split()[1:] for line in status if line.startswith("NSpid:")]
    found = identities_of(monkeypatch, old_kernel=old_kernel)(int(numbers[-1]))
    assert (found.pid, found.name) == (int(numbers[-1]), OWN)


def test_thread_belongs_to_its_process(monkeypatch):
    numbers = []
    ready, done = threading.Event(), threading.Event()

    def wait():
        numbers.append(threading.get_native_id())
        ready.set()
        done.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    ready.wait()
    try:
        assert numbers != [os.getpid()]
        identities = identities_of(monkeypatch, old_kernel=False)
        found = identities(numbers[0])
    finally:
        done.set()
        thread.join()
    if found is not None:  # Linux 6.11 and later
        assert (found.pid, found.host, found.name) == (os.getpid(), os.getpid(), OWN)


def test_number_of_no_process_is_unknown(monkeypatch):
    assert identities_of(monkeypatch, old_kernel=False)(2**22 + 1) is None


def test_old_kernel_is_not_searched_all_the_time(monkeypatch):
    identities = identities_of(monkeypatch, old_kernel=True)
    assert identities(os.getpid()) is not None
    assert identities(os.getpid()) is None
