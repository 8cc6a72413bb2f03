"""The scripts that Apptainer keeps in an image: /.singularity.d/env sets variables, /.singularity.d/runscript is what `run`
executes, and /scif/apps has the same for each app. Pure.

A shell of the image reads them, because they are shell scripts; an image without them is executed without a shell.
"""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT = "/.singularity.d/env"
RUNSCRIPT = "/.singularity.d/runscript"
_SHELL_OF_IMAGE = "if [ -x /bin/bash ]; then exec /bin/bash --norc; fi; exec /bin/sh"
_READ_SCRIPTS = f'for script in {ENVIRONMENT}/*.sh; do if [ -f "$script" ]; then . "$script"; fi; done; unset script'


class Action(NamedTuple):
    """What is asked for. `name`: run, exec or shell; `words` the command, or the arguments of what `run` executes.
    `set` are variables that win over the scripts'. `before` and `after` are for PATH, `libraries` for
    LD_LIBRARY_PATH: lists of directories.
    """

    name: str
    words: tuple[str, ...] = ()
    app: str = ""
    shell: str = ""
    set: Mapping[str, str] = {}
    before: str = ""
    after: str = ""
    libraries: str = ""


class ImageFacts(NamedTuple):
    """What an image has. `command`: its entry point and command, as far as `Action.words` do not replace them."""

    has_environment: bool
    has_runscript: bool
    command: tuple[str, ...] = ()


def arguments_of(action: Action, facts: ImageFacts) -> tuple[str, ...]:
    """What is executed in the container."""
    command = _command(action, facts)
    lines = []
    if facts.has_environment:
        lines.append(_READ_SCRIPTS)
    if action.app:
        directory = f"/scif/apps/{action.app}/scif/env"
        lines.append(
            f'for script in {_quoted(directory)}/*.sh; do if [ -f "$script" ]; then . "$script"; fi; done; unset script'
        )
    if lines:
        lines += [f"export {name}={_quoted(value)}" for name, value in action.set.items()]
    if action.before:
        lines.append(f'export PATH={_quoted(action.before)}:"$PATH"')
    if action.after:
        lines.append(f'export PATH="$PATH":{_quoted(action.after)}')
    if action.libraries:
        lines.append(
            f'export LD_LIBRARY_PATH="${{LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}}"{_quoted(action.libraries)}'
        )
    if not lines:
        return command
    return ("/bin/sh", "-c", "; ".join([*lines, 'exec "$@"']), "sh", *command)


def _command(action: Action, facts: ImageFacts) -> tuple[str, ...]:
    if action.name == "exec":
        return action.words
    if action.name == "shell":
        if action.shell:
            return (action.shell, *action.words)
        script = _SHELL_OF_IMAGE
        if action.words:
            script = 'if [ -x /bin/bash ]; then exec /bin/bash --norc "$@"; fi; exec /bin/sh "$@"'
        return ("/bin/sh", "-c", script, "sh", *action.words)
    if action.app:
        return (f"/scif/apps/{action.app}/scif/runscript", *action.words)
    if facts.has_runscript:
        return (RUNSCRIPT, *action.words)
    return facts.command or ("/bin/sh",)


def _quoted(text: str) -> str:
    """One word of the shell."""
    return "'" + text.replace("'", "'\\''") + "'"
