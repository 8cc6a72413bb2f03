"""`python -m rootless.engine.exec_program REPORT REQUEST`: runs a command in a container, connected to the
standard streams, and exits with its status. An error of the engine is written to the descriptor REPORT.
"""

from __future__ import annotations

import os
import sys

from rootless.containers.storage_paths import StoragePaths
from rootless.durable import write_all
from rootless.engine.exec_in_container import exec_in_container
from rootless.errors import RootlessError
from rootless.light_json import dumps, loads
from rootless.run_in_child import error_fields
from rootless.spec.exec_options import ExecOptions


def main() -> int:
    """Returns the exit status."""
    report = int(sys.argv[1])
    os.set_inheritable(report, False)
    os.environ.pop("PYTHONPATH", None)
    request = loads(sys.argv[2].encode())
    fields = request["options"]
    options = ExecOptions(
        **{
            **fields,
            "command": tuple(fields["command"]),
            "variables": tuple(map(tuple, fields["variables"])),
            "detach_keys": b"",
            "preserved": (),
        }
    )
    try:
        return exec_in_container(request["name"], options, StoragePaths(*request["paths"]))
    except (RootlessError, OSError) as error:
        write_all(report, dumps(error_fields(error)))
        return RootlessError.exit_status


if __name__ == "__main__":
    sys.exit(main())
