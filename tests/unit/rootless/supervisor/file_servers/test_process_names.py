"""Names of processes by the numbers of their PID namespace."""

import os

from rootless.supervisor.file_servers.process_names import ProcessNames


def own_name() -> str:
    with open("/proc/self/comm") as file:
        return file.read().rstrip("\n")


def test_process_has_its_name_by_the_number_of_its_namespace():
    with open("/proc/self/status") as file:
        (inside,) = (line.split()[-1] for line in file if line.startswith("NSpid"))
    names = ProcessNames(os.getpid())
    assert names(int(inside)) == own_name()
    assert names(2**22 + 1) == ""


def test_process_of_a_namespace_that_has_gone_has_none():
    assert ProcessNames(2**22 + 1)(1) == ""


def test_new_process_is_found_and_one_that_has_ended_is_not():
    names = ProcessNames(os.getpid())
    for _ in range(2):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.read(reader, 1)
            os._exit(0)
        with open(f"/proc/{pid}/status") as file:
            (inside,) = (line.split()[-1] for line in file if line.startswith("NSpid"))
        assert names(int(inside)) == own_name()
        os.write(writer, b"x")
        os.waitpid(pid, 0)
        names._last = (0, "", 0)
        assert names(int(inside)) == ""
        os.close(reader)
        os.close(writer)
