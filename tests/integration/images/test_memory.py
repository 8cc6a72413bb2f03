"""Memory does not grow with the image."""

import subprocess
import sys
import tarfile

import pytest

from tests.support.tar_layers import layer_files, member
from unionfs.tar.indexer import TarIndexer

ENTRIES = 250_000
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


def used_by_import(rootless, headers):
    """Bytes of memory at most, while a layer of these headers is brought in."""
    argv = [sys.executable, "-c", SMALL, "import", "-", "many:1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=rootless.env, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for header in headers:
            process.stdin.write(header)
        process.stdin.write(bytes(1024))
        process.stdin.close()
        used = int(process.stdout.read())
    assert process.returncode == 0
    return used


def test_attributes_of_a_megabyte_each_are_not_gathered(rootless):
    def header(number):
        info = tarfile.TarInfo(f"{number % 20}/{number}")
        info.type = tarfile.DIRTYPE if number % 2 else tarfile.REGTYPE
        info.pax_headers = {f"SCHILY.xattr.user.x{n}": "x" * 60_000 for n in range(14)}
        return info.tobuf(tarfile.PAX_FORMAT)

    assert used_by_import(rootless, map(header, range(200))) < MOST


def test_long_paths_are_not_gathered(rootless):
    def header(number):
        info = tarfile.TarInfo("/".join(["d" * 200] * 150) + f"/{number}/file")
        return info.tobuf(tarfile.GNU_FORMAT)

    assert used_by_import(rootless, map(header, range(3000))) < MOST


@pytest.mark.slow
def test_layer_that_hides_very_many_names_takes_no_more_memory(tmp_path):
    with TarIndexer(tmp_path / "below") as indexer:
        for number in range(ENTRIES):
            indexer.feed(tarfile.TarInfo(NAMES["in many directories"](number)).tobuf())
        indexer.feed(bytes(1024))
        indexer.finish()
    above = layer_files(tmp_path, [member(".wh..wh..opq"), member("new")])[1]
    build = "from unionfs.tar.chain import build_chain; build_chain(sys.argv[1:3], sys.argv[3])"
    # VmHWM begins anew with an exec, as ru_maxrss does not.
    script = f"import sys; {build}; print(open('/proc/self/status').read())"
    argv = [sys.executable, "-c", script, tmp_path / "below", above, tmp_path / "merged"]
    status = subprocess.run(argv, capture_output=True, check=True, text=True, timeout=120).stdout
    used = int(status.partition("VmHWM:")[2].split()[0])
    assert used << 10 < MOST // 2


@pytest.mark.slow
@pytest.mark.parametrize("where", NAMES)
def test_layer_of_very_many_names_takes_no_more_memory_than_a_small_one(rootless, where):
    names = map(NAMES[where], range(ENTRIES))
    headers = (tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT) for name in names)
    assert used_by_import(rootless, headers) < MOST
    assert rootless("system", "check").ok()
