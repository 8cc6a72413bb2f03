"""The values of `build --secret` and `build --ssh`."""

from __future__ import annotations

import os
import stat

from rootless.cli.context import absolute
from rootless.csv_fields import split_fields
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.request import SecretSource


def parse_secret(text: str) -> SecretSource:
    from rootless.build.request import SecretSource

    values = {}
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        if not equals:
            raise UsageError(f"invalid field '{field}' must be a key=value pair")
        values[key.lower()] = value
    if unknown := values.keys() - {"id", "src", "source", "env", "type"}:
        raise UsageError(f"unexpected key '{min(unknown)}' in '{text}'")
    kind = values.get("type", "file")
    if kind not in {"file", "env"}:
        raise UsageError(f"unsupported secret type {kind!r}")
    source = values.get("src") or values.get("source")
    variable = values.get("env") or (source if kind == "env" else None)
    name = values.get("id")
    if not name:
        raise UsageError(f"secret {text!r} has no id")
    if variable is None and source is None:
        # As buildx: a variable of that name, else a file.
        variable = name if name in os.environ else None
    if variable is not None:
        return SecretSource(name, variable=variable)
    path = absolute(source or name)
    if not os.path.exists(path):
        raise UsageError(f"failed to stat {source or name}: no such file or directory")
    return SecretSource(name, path)


def parse_agent(text: str) -> tuple[str, str]:
    """The id and the socket of an SSH agent; by default that of SSH_AUTH_SOCK."""
    name, _, path = text.partition("=")
    path = path or os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise UsageError(
            f"invalid empty ssh agent socket for --ssh {name}: make sure SSH_AUTH_SOCK is set"
        )
    if not os.path.exists(path):
        raise UsageError(f"--ssh {text}: {path} does not exist")
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        raise UsageError(
            f"--ssh {text}: keys are not served, only agents",
            hint="start ssh-agent, ssh-add the key, and use --ssh default",
        )
    return name, absolute(path)
