"""`python -m rootless` and the `rootless` program."""

from __future__ import annotations

import gc
import sys

# What a start imports and makes lives as long as it does. Looking through it for garbage again and
# again costs a sixth of the start; whoever works for long turns the collector on again.
gc.disable()

from rootless.cli.main import main as run_command_line  # noqa: E402


def main() -> None:
    """Run the command line and exit with its status."""
    sys.exit(run_command_line())


if __name__ == "__main__":
    main()
