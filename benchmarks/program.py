"""Which program of this project is measured: the one that is installed beside the interpreter, as a user starts it."""

from __future__ import annotations

import sys
from pathlib import Path

ROOTLESS = str(Path(sys.executable).with_name("rootless"))
