"""`python -m rootless.supervisor.file_servers.executed`: a file server that takes over from one of another
release."""

from __future__ import annotations

if __name__ == "__main__":
    from rootless.supervisor.file_servers.file_server import run_executed

    run_executed()
