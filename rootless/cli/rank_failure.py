"""Reports why a rank has not become one, when it has lost the host's tree."""

from __future__ import annotations

import os
import sys

from rootless.cli import escape  # noqa: F401 - nothing can be imported any more
from rootless.cli.process import print_error, take_standard_streams
from rootless.runtime.failure import failure_of
from rootless.runtime.failures import launch_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.runtime.enter import Doing


def report(doing: Doing, error: BaseException) -> NoReturn:
    """Print the error, and exit with its status."""
    take_standard_streams()
    status = print_error(launch_error(failure_of(doing.stage, doing.what, error)), debug=False)
    sys.stderr.flush()
    os._exit(status)
