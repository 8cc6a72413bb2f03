"""Expands variables in instructions: a table of the fields that are expanded. Pure.

Docker's Dockerfile reference, "Environment replacement". RUN, CMD, ENTRYPOINT and HEALTHCHECK are left alone: their
shell replaces variables. All fields of one instruction see the variables from before it.
"""

from __future__ import annotations

from collections.abc import Mapping

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.instructions import (
    Add,
    Copy,
    Env,
    Expose,
    Heredoc,
    Instruction,
    Label,
    Pair,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from rootless.dockerfile.syntax.words import DEFAULT_ESCAPE, Expansion, Rules, WordScan


class Expander:
    """Replaces variables, and keeps the names of those that are not set."""

    def __init__(self, variables: Mapping[str, str], escape: str = DEFAULT_ESCAPE) -> None:
        self.variables = variables
        self.escape = escape
        self.missing: list[str] = []
        """The names in the order of their use, once for each text in which they stand; also
        those of a text that was refused."""

    def word(self, text: str) -> str:
        """A text without its quotes and escapes. Raises DockerfileError."""
        return self._expand(text, Rules(self.escape)).text

    def words(self, text: str) -> tuple[str, ...]:
        """Like `word`, split at white space."""
        return self._expand(text, Rules(self.escape)).words

    def document(self, text: str) -> str:
        """The content of a here-document, in which quotes are letters like others."""
        return self._expand(text, Rules(ignores_quotes=True)).text

    def _expand(self, text: str, rules: Rules) -> Expansion:
        scan = WordScan(text, self.variables, rules)
        try:
            return scan.run()
        finally:
            self.missing += scan.missing


def expand_instruction(instruction: Instruction, expander: Expander) -> Instruction:
    """An instruction with its variables replaced. ARG is left alone (`scopes` reads it), and so are the mounts of
    RUN (`mounts.parse_mount`). Raises DockerfileError with the place of the instruction."""
    try:
        return _expanded(instruction, expander)
    except DockerfileError as error:
        source = instruction.source
        raise DockerfileError(
            error.message, line=source.first_line, last_line=source.last_line
        ) from None


def _expanded(instruction: Instruction, expander: Expander) -> Instruction:
    match instruction:
        case Env() | Label():
            return instruction._replace(pairs=_pairs(instruction.pairs, expander))
        case Copy():
            return instruction._replace(
                chown=expander.word(instruction.chown),
                chmod=expander.word(instruction.chmod),
                sources=_each(instruction.sources, expander),
                destination=expander.word(instruction.destination),
                heredocs=_heredocs(instruction.heredocs, expander),
            )
        case Add():
            return instruction._replace(
                chown=expander.word(instruction.chown),
                chmod=expander.word(instruction.chmod),
                checksum=expander.word(instruction.checksum),
                sources=_each(instruction.sources, expander),
                destination=expander.word(instruction.destination),
                heredocs=_heredocs(instruction.heredocs, expander),
            )
        case Workdir():
            return instruction._replace(path=expander.word(instruction.path))
        case User():
            return instruction._replace(user=expander.word(instruction.user))
        case StopSignal():
            return instruction._replace(signal=expander.word(instruction.signal))
        case Volume():
            return instruction._replace(paths=_each(instruction.paths, expander))
        case Expose():
            ports = tuple(word for port in instruction.ports for word in expander.words(port))
            return instruction._replace(ports=ports)
        case _:
            return instruction


def _each(texts: tuple[str, ...], expander: Expander) -> tuple[str, ...]:
    return tuple(expander.word(text) for text in texts)


def _pairs(pairs: tuple[Pair, ...], expander: Expander) -> tuple[Pair, ...]:
    return tuple(
        each._replace(name=expander.word(each.name), value=expander.word(each.value))
        for each in pairs
    )


def _heredocs(heredocs: tuple[Heredoc, ...], expander: Expander) -> tuple[Heredoc, ...]:
    """The documents with `content` as the file gets it: tabs removed, variables replaced."""
    return tuple(
        each._replace(
            content=expander.document(each.text) if each.expands else each.text, strips_tabs=False
        )
        for each in heredocs
    )
