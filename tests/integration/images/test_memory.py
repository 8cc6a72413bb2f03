"""Memory does not grow with the image."""

import subprocess
import sys
import tarfile

import pytest

ENTRIES = 500_000
MOST = 64 << 20
"""Half of it is the interpreter and what it has imported; a name held in memory takes 180 bytes."""

# What a process has used at most before it becomes another program counts for that one too
# (getrusage(2), ru_maxrss), so the command is not started by the process of the tests.
SMALL = """
import os, subprocess, sys
process = subprocess.Popen([sys.executable, "-m", "rootless", *sys.argv[1:]], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""

NAMES = {
    "in many directories": lambda n: f"a{n // 10_000}/b{n // 100 % 100}/file{n}",
    "in one directory": lambda n: f"file{n}",
}


@pytest.mark.slow
@pytest.mark.parametrize("where", NAMES)
def test_layer_of_half_a_million_names_takes_no_more_memory_than_a_small_one(rootless, where):
    argv = [sys.executable, "-c", SMALL, "import", "-", "many:1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=rootless.env, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(ENTRIES):
            process.stdin.write(tarfile.TarInfo(NAMES[where](number)).tobuf(tarfile.USTAR_FORMAT))
        process.stdin.write(bytes(1024))
        process.stdin.close()
        used = int(process.stdout.read())
    assert process.returncode == 0
    assert used < MOST
    assert rootless("system", "check").ok()
