"""`python -m rootless.supervisor`: the monitor of a container, as `rootless.supervisor.start` executes
it for a process that has several threads."""

from __future__ import annotations

import gc

# What a monitor imports lives as long as it does (rootless/__main__.py).
gc.disable()

from unionfs.light_imports import install  # noqa: E402

install("rootless", "unionfs")

from rootless.supervisor.start import run_executed  # noqa: E402

if __name__ == "__main__":
    run_executed()
