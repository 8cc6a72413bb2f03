"""Reads the files with CDI specifications."""

from __future__ import annotations

import json
import os
import stat

from rootless.cdi.document import parse_spec
from rootless.cdi.resolver import SpecFile
from rootless.errors import InvalidDocumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_DIRECTORIES = ("/etc/cdi", "/var/run/cdi")
_FILE_LIMIT = 16 * 1024 * 1024
"""Bytes of a specification; those of machines with many partitioned GPUs have some hundred kilobytes."""


def read_spec_files(directories: Sequence[str] = DEFAULT_DIRECTORIES) -> list[SpecFile]:
    """The files of all directories; a missing directory has none. A file that cannot be used is there with the reason."""
    found = []
    for priority, directory in enumerate(directories):
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            continue
        found += [
            _read(f"{directory}/{name}", priority)
            for name in names
            if name.endswith((".json", ".yaml"))
        ]
    return found


def _read(path: str, priority: int) -> SpecFile:
    try:
        # Opening a fifo would wait for a writer.
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(opened, "rb") as file:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise InvalidDocumentError("not a regular file")
            data = file.read(_FILE_LIMIT + 1)
        if len(data) > _FILE_LIMIT:
            raise InvalidDocumentError("it is larger than 16 MiB")
        return SpecFile(path, priority, parse_spec(_document(path, data)))
    except OSError as error:
        return SpecFile(path, priority, None, (error.strerror or "").lower())
    except InvalidDocumentError as error:
        return SpecFile(path, priority, None, error.message)


def _document(path: str, data: bytes) -> object:
    """Raises InvalidDocumentError."""
    if path.endswith(".json"):
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InvalidDocumentError(f"invalid JSON: {error}") from error
    import yaml

    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        raise InvalidDocumentError(f"invalid YAML: {text}") from error
