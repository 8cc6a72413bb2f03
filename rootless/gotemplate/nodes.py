"""The syntax tree. `str` of a node is its source, as error messages quote it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dot:
    position: int

    def __str__(self) -> str:
        return "."


@dataclass(frozen=True, slots=True)
class Nil:
    position: int

    def __str__(self) -> str:
        return "nil"


@dataclass(frozen=True, slots=True)
class Constant:
    """A boolean, a number or a string, with its spelling."""

    position: int
    text: str
    value: bool | int | float | str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Function:
    position: int
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Field:
    """`.A.B`: names looked up in dot."""

    position: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


@dataclass(frozen=True, slots=True)
class Variable:
    """`$x.A`: `name` has the dollar."""

    position: int
    name: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ".".join((self.name, *self.names))


@dataclass(frozen=True, slots=True)
class Chain:
    """`(pipeline).A.B`."""

    position: int
    operand: Operand
    names: tuple[str, ...]

    def __str__(self) -> str:
        inner = f"({self.operand})" if isinstance(self.operand, Pipeline) else str(self.operand)
        return "".join((inner, *(f".{name}" for name in self.names)))


@dataclass(frozen=True, slots=True)
class Command:
    position: int
    arguments: tuple[Operand, ...]

    def __str__(self) -> str:
        return " ".join(
            f"({argument})" if isinstance(argument, Pipeline) else str(argument)
            for argument in self.arguments
        )


@dataclass(frozen=True, slots=True)
class Pipeline:
    """`assigns`: `=` and not `:=`."""

    position: int
    variables: tuple[str, ...]
    assigns: bool
    commands: tuple[Command, ...]

    def __str__(self) -> str:
        sign = "=" if self.assigns else ":="
        declared = f"{', '.join(self.variables)} {sign} " if self.variables else ""
        return declared + " | ".join(map(str, self.commands))


Operand = Dot | Nil | Constant | Function | Field | Variable | Chain | Pipeline


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Action:
    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Branch:
    """`keyword` is "if", "with" or "range"."""

    keyword: str
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Jump:
    """`keyword` is "break" or "continue"."""

    keyword: str


@dataclass(frozen=True, slots=True)
class Call:
    """`{{template "name" pipeline}}`."""

    position: int
    name: str
    pipeline: Pipeline | None

    def __str__(self) -> str:
        return f'{{{{template "{self.name}"{f" {self.pipeline}" if self.pipeline else ""}}}}}'


Node = Text | Action | Branch | Jump | Call
