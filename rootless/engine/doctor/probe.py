"""Probes: test what a machine supports by trying it in a child process.

A version number or a setting does not prove that something works; the attempt does.
"""

from __future__ import annotations

from collections.abc import Callable

from rootless.errors import RootlessError
from rootless.run_in_child import run_in_child


def probe_in_child(action: Callable[[], None]) -> OSError | None:
    """Do `action` in a child process; returns the OSError it failed with, or None.

    The namespaces and mounts that it made end with the child.
    """
    try:
        run_in_child(action)
    except OSError as error:
        return error
    except RootlessError as error:
        return OSError(0, error.message)
    return None
