"""The exception tree. Exceptions carry facts; only the command line formats and prints them.

    RootlessError                 exit status 125
      UsageError                  invalid or contradictory arguments
        MissingFileError          exit status 127
        DockerfileError           exit status 1; rootless.dockerfile.errors
      NotFoundError               an object that does not exist
      ExistsError                 a name that is taken
      InUseError                  an object that something still needs
      ConflictError               what the status of a container does not allow
      InvalidDocumentError        a document or archive that cannot be read
      IntegrityError              bytes that do not match their digest; never retried, never downgraded
      HostSupportError            something this machine does not offer
        PrivilegedPortError       exit status 126
      LaunchError                 a step between clone and exec failed
        CommandNotExecutableError exit status 126
        CommandNotFoundError      exit status 127

A message is one sentence in lower case without a full stop that names the object; a hint, where there is one, is an
instruction. `details` are for --format json.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class RootlessError(Exception):
    """An expected failure. `code` is stable and in kebab-case."""

    exit_status = 125
    code = "error"

    def __init__(
        self, message: str, *, hint: str | None = None, details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: Mapping[str, object] = details or {}


class UsageError(RootlessError):
    code = "usage"


class MissingFileError(UsageError):
    """docker takes every "no such file or directory" at the start of a container for a missing command."""

    exit_status = 127


class NotFoundError(RootlessError):
    code = "not-found"


class ExistsError(RootlessError):
    code = "exists"


class InUseError(RootlessError):
    code = "in-use"


class ConflictError(RootlessError):
    code = "conflict"


class InvalidDocumentError(RootlessError):
    code = "invalid-document"


class IntegrityError(RootlessError):
    code = "integrity"


class HostSupportError(RootlessError):
    code = "host-support"


class PrivilegedPortError(HostSupportError):
    """docker takes every "permission denied" at the start of a container for a command that is not executable."""

    exit_status = 126


class LaunchError(RootlessError):
    code = "launch"


class CommandNotExecutableError(LaunchError):
    code = "command-not-executable"
    exit_status = 126


class CommandNotFoundError(LaunchError):
    code = "command-not-found"
    exit_status = 127


class NotATerminalError(UsageError):
    """-i -t without a terminal on standard input; Docker's client exits with 1."""

    exit_status = 1
    code = "not-a-terminal"


def failure_of(error: OSError) -> str:
    """A failed system call as a message: the file, if it has a name, and the system's text."""
    name = error.filename  # a number, if it is of a descriptor
    if isinstance(name, bytes):
        name = name.decode(errors="surrogateescape")
    where = f"{name}: " if isinstance(name, str) else ""
    return f"{where}{(error.strerror or str(error)).lower()}"
