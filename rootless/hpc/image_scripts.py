"""The scripts that Apptainer keeps in an image: /.singularity.d/env sets variables, /.singularity.d/runscript is what `run`
executes, and /scif/apps has the same for each app. Pure.

A shell of the image reads them, because they are shell scripts; an image without them is executed without a shell.
"""

from __future__ import annotations

from rootless.runtime.extensions import DEFAULT_PATH
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SCRIPTS = "/.singularity.d"
APPS = "/scif/apps"
ENVIRONMENT = f"{SCRIPTS}/env"
_SHELL_OF_IMAGE = "if [ -x /bin/bash ]; then exec /bin/bash --norc; fi; exec /bin/sh"
_READ_SCRIPTS = f'for script in {ENVIRONMENT}/*.sh; do if [ -f "$script" ]; then . "$script"; fi; done; unset script'
_SCRIPT_OF_APPS = f"{ENVIRONMENT}/95-apps.sh"
_DEFAULT_DIRECTORIES = tuple(DEFAULT_PATH.split(":"))
"""PATH of an image gets those that it lacks, behind its own."""
_COMPLETE_PATH = (
    f'for rootless_directory in {" ".join(_DEFAULT_DIRECTORIES)}; do case ":$PATH:" in *":$rootless_directory:"*) ;; '
    '*) PATH="${PATH:+$PATH:}$rootless_directory" ;; esac; done; export PATH; unset rootless_directory'
)
_KEPT = "ROOTLESS_OF_CALLER_"
"""Before the names of the caller's variables until the scripts have been read, which do not see them."""


class Action(NamedTuple):
    """The command of `hpc`. `name`: run, test, exec or shell; `words` the command, or the arguments of what `run`
    and `test` execute. `passed` are the caller's variables, over which the image's win, and `set` those that win
    over the image's. `before` and `after` are for PATH, `libraries` for LD_LIBRARY_PATH: lists of directories.
    """

    name: str
    words: tuple[str, ...] = ()
    app: str = ""
    shell: str = ""
    passed: Mapping[str, str] = {}
    set: Mapping[str, str] = {}
    before: str = ""
    after: str = ""
    libraries: str = ""


class ImageFacts(NamedTuple):
    """The facts of an image. `has_script`: the one that `script_of` names. `command`: its entry point and command,
    as far as `Action.words` do not replace them. `variables` are those of its configuration.
    """

    has_environment: bool
    has_script: bool
    command: tuple[str, ...] = ()
    variables: Mapping[str, str] = {}


def variables_of(action: Action, facts: ImageFacts) -> dict[str, str]:
    """The caller's variables as the container is given them, and the image's search path."""
    if facts.has_environment:
        return {
            _KEPT + name if _is_shell_name(name) else name: text
            for name, text in action.passed.items()
        }
    variables = facts.variables
    result = {name: text for name, text in action.passed.items() if name not in variables}
    if variables.get("PATH"):
        directories = dict.fromkeys((*variables["PATH"].split(":"), *_DEFAULT_DIRECTORIES))
        result["PATH"] = ":".join(directories)
    return result


def arguments_of(action: Action, facts: ImageFacts) -> tuple[str, ...]:
    """The arguments to execute in the container."""
    command = _command(action, facts)
    lines = []
    if facts.has_environment:
        lines += [_READ_SCRIPTS, *_restore(action.passed), _COMPLETE_PATH]
    if action.app:
        directory = f"{APPS}/{action.app}/scif/env"
        lines.append(
            f"[ -f {_SCRIPT_OF_APPS} ] || for script in {_quoted(directory)}/*.sh; do "
            'if [ -f "$script" ]; then . "$script"; fi; done; unset script'
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


def script_of(action: Action) -> str:
    """What `run` and `test` execute where the image has it."""
    name = "test" if action.name == "test" else "runscript"
    return f"{APPS}/{action.app}/scif/{name}" if action.app else f"{SCRIPTS}/{name}"


def _is_shell_name(name: str) -> bool:
    """Whether a shell can set a variable of this name (POSIX.1-2017, 3.235 Name)."""
    return name.isascii() and name.isidentifier()


def _restore(passed: Mapping[str, str]) -> list[str]:
    """The caller's variables, as far as the image's scripts have not set them."""
    names = " ".join(name for name in passed if _is_shell_name(name))
    if not names:
        return []
    line = (
        f'for rootless_name in {names}; do eval "[ -n \\"\\${{$rootless_name+x}}\\" ] || '
        f'export $rootless_name=\\"\\${_KEPT}$rootless_name\\"; unset {_KEPT}$rootless_name"; done; unset rootless_name'
    )
    return [line]


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
    if action.app or facts.has_script or action.name == "test":
        return (script_of(action), *action.words)
    return facts.command or ("/bin/sh",)


def _quoted(text: str) -> str:
    """One word of the shell."""
    return "'" + text.replace("'", "'\\''") + "'"
