"""Work for threads where there can be none: RLIMIT_NPROC."""

from __future__ import annotations

import subprocess
import sys

WITHOUT_THREADS = """
import resource
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
"""


def outcome(program: str) -> str:
    """What a program prints that may have no further thread."""
    argv = [sys.executable, "-c", WITHOUT_THREADS + program]
    return subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True, timeout=120).stdout


def test_work_is_done_once_without_a_thread():
    assert (
        outcome("""
from unionfs.session.workers import Busy, Workers
busy = Busy()
workers = Workers(2, busy)
for number in range(3):
    workers.start(lambda: print("work", number), lambda raised: print("done", raised))
assert busy.count == workers.outstanding == 3
workers.finish()
print(busy.count, workers.outstanding)
""")
        == "work 0\nwork 1\nwork 2\n" + "done None\n" * 3 + "0 0\n"
    )


def test_copier_without_a_thread_leaves_the_files_and_ends():
    assert (
        outcome("""
from types import SimpleNamespace
from unionfs.lazy.background_copier import BackgroundCopier
copier = BackgroundCopier(1, print, print)
for number in range(2):
    copier.add(SimpleNamespace(close=lambda: print("closed")))
copier.stop()
""")
        == "closed\nclosed\n"
    )
