"""What opening an index imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

QUERY = """
import sys, unionfs.tar.index as index
{before}
index._import_sqlite()
import _sqlite3
database = _sqlite3.connect(":memory:")
assert [database.execute("SELECT ?", (n,)).fetchone() for n in (1, 2, 1)] == [(1,), (2,), (1,)]
print("functools" in sys.modules)
import functools, sqlite3
assert functools.lru_cache(lambda n: n)(3) == 3
assert sqlite3.connect(":memory:").execute("SELECT 1").fetchone() == (1,)
"""


@pytest.mark.parametrize(("before", "after"), [("", "False"), ("import functools", "True")])
def test_sqlite_is_imported_without_functools_and_both_work_afterwards(
    before: str, after: str
) -> None:
    code = QUERY.format(before=before)
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout.strip(), done.stderr) == (after, "")
