"""The error message for an unsupported command or option of Docker, Podman or Apptainer. Imported only for an error."""

from __future__ import annotations

from rootless.cli.not_supported import apptainer, docker, podman

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.cli.not_supported.missing import Missing


def missing_command(words: list[str]) -> str | None:
    """The message for a command of Docker's, podman's or Apptainer's that is missing; None for any other."""
    if words[0] == "hpc" and words[1:]:
        known = apptainer.COMMANDS.get(words[1])
        return None if known is None else f"'{' '.join(words)}' is not supported: {_reason(known)}"
    name = (
        words[1]
        if words[0] in {"container", "image", "network", "system", "volume"} and words[1:]
        else words[0]
    )
    found = docker.COMMANDS.get(name) or podman.COMMANDS.get(name)
    return None if found is None else f"'{' '.join(words)}' is not supported: {_reason(found)}"


def missing_option(command: str, flag: str) -> str | None:
    """The message for an option of Docker's, podman's or Apptainer's that is missing; None for any other.

    Args:
        command: The name of the command, with `hpc ` before one of these; empty for an option before the command.
        flag: Without dashes; one letter is a shorthand.
    """
    if command.startswith("hpc "):
        long = apptainer.SHORTHANDS.get(flag, flag)
        known = apptainer.OPTIONS.get(long)
        return None if known is None else f"--{long} is not supported: {_reason(known)}"
    name = docker.SHORTHANDS.get((command, flag), flag)
    found = docker.OPTIONS.get(command, {}).get(name) or podman.OPTIONS.get(command, {}).get(name)
    return None if found is None else f"--{name} is not supported: {_reason(found)}"


def similar(word: str, known: Iterable[str]) -> list[str]:
    """Up to three of the known words that resemble what was typed, the most alike first."""
    import difflib

    return difflib.get_close_matches(word, list(known), 3, 0.7)


def _reason(missing: Missing) -> str:
    return "; ".join(filter(None, missing))
