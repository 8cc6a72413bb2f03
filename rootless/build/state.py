"""What a stage has become after some of its instructions: an image in the making. Pure.

The texts of the history are BuildKit's, so that `history` and scanners show the same for both builders.
"""

from __future__ import annotations

from rootless.dockerfile.errors import quoted
from rootless.dockerfile.instructions import (
    Arg,
    Cmd,
    CommandLine,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    StopSignal,
    User,
    Volume,
)
from rootless.dockerfile.ports import exposed_ports
from rootless.dockerfile.scopes import PREDEFINED, Scope
from rootless.durations import format_duration
from rootless.oci.document import Json
from rootless.runtime.extensions import DEFAULT_PATH
from rootless.store.build_cache import BuiltLayer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from rootless.dockerfile.instructions import Instruction

COMMENT = "buildkit.dockerfile.v0"
BUILT = " # buildkit"
"""At the end of the texts of RUN, COPY and ADD."""
_DEFAULT_SHELL = ("/bin/sh", "-c")


class StageState:
    """An image in the making.

    Attributes:
        document: The config's fields other than `config`, `rootfs` and `history`.
        config: The `config` object.
        layers: Bottom first.
        key: What the files are made of: equal keys, equal files.
        scope: The variables that the next instruction sees.
    """

    def __init__(
        self,
        document: Json,
        config: Json,
        history: Iterable[object],
        layers: tuple[BuiltLayer, ...],
        key: str,
    ) -> None:
        self.document = document
        self.config = config
        self.history = list(history)
        self.layers = layers
        self.key = key
        self._is_command_set = False
        if not any(each.startswith("PATH=") for each in _list(config, "Env")):
            self._set_variable("PATH", DEFAULT_PATH)
        variables = (each.partition("=") for each in _list(config, "Env"))
        self.scope = Scope({name: value for name, _, value in variables})

    def copy(self) -> StageState:
        """The beginning of a stage that is built on this one."""
        made = StageState(
            dict(self.document), dict(self.config), self.history, self.layers, self.key
        )
        made.scope = self.scope
        return made

    def packed(self) -> tuple[object, ...]:
        """For another process of this program; `unpacked` is the inverse."""
        layers = tuple(tuple(layer) for layer in self.layers)
        scope = dict(self.scope.variables), dict(self.scope.arguments)
        return self.document, self.config, self.history, layers, self.key, scope

    @classmethod
    def unpacked(cls, values: tuple[Any, ...]) -> StageState:
        """The state that `packed` described."""
        document, config, history, layers, key, scope = values
        made = cls(document, config, history, tuple(BuiltLayer(*each) for each in layers), key)
        made.scope = Scope(*scope)
        return made

    @property
    def user(self) -> str:
        return str(self.config.get("User") or "")

    @property
    def directory(self) -> str:
        return str(self.config.get("WorkingDir") or "/")

    @property
    def shell(self) -> tuple[str, ...]:
        return tuple(_list(self.config, "Shell")) or _DEFAULT_SHELL

    def _set_variable(self, name: str, value: str) -> None:
        env = _list(self.config, "Env")
        position = next(
            (i for i, each in enumerate(env) if each.partition("=")[0] == name), len(env)
        )
        env[position : position + 1] = [f"{name}={value}"]
        self.config["Env"] = env

    def command_of(self, command: CommandLine) -> tuple[str, ...]:
        """The words to execute: of the shell form those of the shell first."""
        if command.is_exec_form:
            return command.words
        return (*self.shell, command.shell_text)

    def shown_arguments(self) -> list[str]:
        """NAME=VALUE of the arguments in effect that are not predefined."""
        return [
            f"{name}={value or ''}"
            for name, value in self.scope.arguments.items()
            if name not in PREDEFINED
        ]

    def add_history(self, text: str, created: str, layer: BuiltLayer | None = None) -> None:
        """Note an instruction, and the layer that it has made."""
        entry: Json = {"created": created, "created_by": text, "comment": COMMENT}
        if layer is None:
            entry["empty_layer"] = True
        else:
            self.layers = (*self.layers, layer)
        self.history.append(entry)

    def run_text(self, words: Sequence[str]) -> str:
        """RUN as the history has it: the arguments in effect, and what is executed."""
        shown = self.shown_arguments()
        before = [f"|{len(shown)}", *shown] if shown else []
        return " ".join(["RUN", *before, *words]) + BUILT

    def apply(self, instruction: Instruction, created: str) -> None:
        """An instruction that changes the config alone, with its variables replaced."""
        text = self._apply(instruction)
        if text:
            self.add_history(text, created)

    def _apply(self, instruction: Instruction) -> str:
        """The text for the history; empty for ONBUILD, which BuildKit does not note."""
        match instruction:
            case Env() | Label():
                return self._pairs(instruction)
            case Cmd() | Entrypoint():
                return self._command(instruction)
            case Expose():
                return self._expose(instruction)
            case Healthcheck():
                return self._healthcheck(instruction)
            case Volume():
                volumes = dict(_map(self.config, "Volumes"))
                volumes |= {path: {} for path in instruction.paths}
                self.config["Volumes"] = volumes
                return f"VOLUME [{' '.join(instruction.paths)}]"
            case Onbuild():
                triggers = [*_list(self.config, "OnBuild"), instruction.expression]
                self.config["OnBuild"] = triggers
                return ""
            case Maintainer():
                self.document["author"] = instruction.name
                return f"MAINTAINER {instruction.name}"
        return self._word(instruction)

    def _word(self, instruction: Instruction) -> str:
        match instruction:
            case User():
                self.config["User"] = instruction.user
                return f"USER {instruction.user}"
            case StopSignal():
                self.config["StopSignal"] = instruction.signal
                return f"STOPSIGNAL {instruction.signal}"
            case Shell():
                self.config["Shell"] = list(instruction.words)
                return f"SHELL [{' '.join(instruction.words)}]"
        raise TypeError(f"{type(instruction).__name__} changes more than the config")

    def _pairs(self, instruction: Env | Label) -> str:
        if isinstance(instruction, Env):
            for pair in instruction.pairs:
                self._set_variable(pair.name, pair.value)
            self.scope = self.scope.with_env(instruction)
        else:
            labels = dict(_map(self.config, "Labels"))
            labels |= {pair.name: pair.value for pair in instruction.pairs}
            self.config["Labels"] = labels
        words = (f"{pair.name}={pair.value}" for pair in instruction.pairs)
        return " ".join([type(instruction).__name__.upper(), *words])

    def _command(self, instruction: Cmd | Entrypoint) -> str:
        words = self._words(instruction.command)
        if isinstance(instruction, Cmd):
            self.config["Cmd"] = list(words)
            self.config["ArgsEscaped"] = True
            self._is_command_set = True
            return f"CMD {go_quoted(words)}"
        self.config["Entrypoint"] = list(words)
        if not self._is_command_set:
            # The arguments of the entrypoint that was there are not those of this one.
            self.config.pop("Cmd", None)
        return f"ENTRYPOINT {go_quoted(words)}"

    def _words(self, command: CommandLine) -> tuple[str, ...]:
        return command.words if command.is_exec_form else (*self.shell, *command.words)

    def _expose(self, instruction: Expose) -> str:
        ports = dict(_map(self.config, "ExposedPorts"))
        shown = []
        for text in instruction.ports:
            for port in exposed_ports(text).ports:
                ports[port] = {}
                shown.append(port)
        self.config["ExposedPorts"] = ports
        return f"EXPOSE [{' '.join(sorted(shown))}]"

    def _healthcheck(self, instruction: Healthcheck) -> str:
        times = {
            "Interval": instruction.interval,
            "Timeout": instruction.timeout,
            "StartPeriod": instruction.start_period,
            "StartInterval": instruction.start_interval,
        }
        fields: Json = {"Test": list(instruction.test)}
        fields |= {name: value for name, value in times.items() if value}
        if instruction.retries:
            fields["Retries"] = instruction.retries
        self.config["Healthcheck"] = fields
        shown = " ".join(f'"{format_duration(value)}"' for value in times.values())
        retries = f"'\\x{instruction.retries:02x}'"
        return f"HEALTHCHECK &{{{go_quoted(instruction.test)} {shown} {retries}}}"

    def define(self, instruction: Arg, scope: Scope, created: str) -> None:
        """Bring arguments into effect: `scope` has them. `instruction` has its defaults expanded."""
        self.scope = scope
        words = []
        for definition in instruction.definitions:
            default = "" if definition.default is None else f"={definition.default}"
            words.append(f"{definition.name}{default}")
        self.add_history(" ".join(["ARG", *words]), created)


def go_quoted(words: Sequence[str]) -> str:
    """A list as Go's %q prints it."""
    return f"[{' '.join(map(quoted, words))}]"


def _list(config: Json, name: str) -> list[str]:
    value = config.get(name)
    return [str(each) for each in value] if isinstance(value, list) else []


def _map(config: Json, name: str) -> Json:
    value = config.get(name)
    return value if isinstance(value, dict) else {}
