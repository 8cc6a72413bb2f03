"""Commands whose standard output takes nothing: one line, a status that is not 0, and no traceback."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.needs("userns", "fuse")


@pytest.mark.parametrize(
    "words", [("ps", "-a"), ("volume", "ls"), ("create", "--rootfs", "/", "true")]
)
def test_a_full_device_is_reported_in_one_line(rootless, words):
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "rootless", *words],
            env=rootless.env,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
        )
    assert result.returncode == 1
    assert result.stderr == "rootless: cannot write the output: no space left on device\n"


def test_a_reader_that_has_gone_is_not_reported(rootless):
    line = f"exec {sys.executable} -m rootless ps -a >&$1"
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    result = subprocess.run(
        ["bash", "-c", line, "bash", str(reader.stdin.fileno())],
        env=rootless.env,
        pass_fds=(reader.stdin.fileno(),),
        stderr=subprocess.PIPE,
        check=False,
        text=True,
    )
    reader.stdin.close()
    assert (result.returncode, result.stderr) == (1, "")
