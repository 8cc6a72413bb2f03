"""The state of a stage after some of its instructions: layers and config of an image in the making. Pure."""

from __future__ import annotations

from rootless.build.history import history_text
from rootless.dockerfile.config import apply_instruction, shell_of, variables_of
from rootless.dockerfile.instructions import Arg, Cmd, CommandLine, Env, Maintainer
from rootless.dockerfile.scopes import PREDEFINED, Scope
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
        if "PATH" not in variables_of(config):
            self.config["Env"] = [*_list(config, "Env"), f"PATH={DEFAULT_PATH}"]
        self.scope = Scope(variables_of(self.config))

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
        return shell_of(self.config)

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
        """An instruction that changes the config alone, with its variables replaced. Raises DockerfileError."""
        config = apply_instruction(self.config, instruction, cmd_is_set=self._is_command_set)
        self.config = {name: value for name, value in config.items() if value is not None}
        if isinstance(instruction, Env):
            self.scope = self.scope.with_env(instruction)
        elif isinstance(instruction, Cmd):
            self.config["ArgsEscaped"] = True
            self._is_command_set = True
        elif isinstance(instruction, Maintainer):
            self.document["author"] = instruction.name
        text = history_text(instruction, self.shell)
        if text:
            self.add_history(text, created)

    def define(self, instruction: Arg, scope: Scope, created: str) -> None:
        """Bring arguments into effect: `scope` has them with their values."""
        self.scope = scope
        words = []
        for definition in instruction.definitions:
            value = scope.arguments.get(definition.name)
            words.append(definition.name if value is None else f"{definition.name}={value}")
        self.add_history(" ".join(["ARG", *words]), created)


def _list(config: Json, name: str) -> list[str]:
    value = config.get(name)
    return [str(each) for each in value] if isinstance(value, list) else []
