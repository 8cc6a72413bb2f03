"""Tokens to a syntax tree (text/template/parse). Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import NoReturn

from rootless.gotemplate.errors import TemplateError
from rootless.gotemplate.lexer import Kind, LexError, Token, tokens
from rootless.gotemplate.literals import character, number, unquote
from rootless.gotemplate.nodes import (
    Action,
    Branch,
    Call,
    Chain,
    Command,
    Constant,
    Dot,
    Field,
    Function,
    Jump,
    Nil,
    Node,
    Operand,
    Pipeline,
    Text,
    Variable,
)

Templates = dict[str, tuple[Node, ...]]
_OPERANDS = {
    Kind.BOOL,
    Kind.CHARACTER,
    Kind.DOT,
    Kind.FIELD,
    Kind.IDENTIFIER,
    Kind.NUMBER,
    Kind.NIL,
    Kind.RAW_STRING,
    Kind.STRING,
    Kind.VARIABLE,
    Kind.OPEN,
}


def parse_templates(name: str, text: str, functions: Collection[str]) -> Templates:
    """The template and those it defines, by name. Raises TemplateError."""
    return _Parser(name, text, functions).parse()


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


class _Parser:
    def __init__(self, name: str, text: str, functions: Collection[str]) -> None:
        self.name = name
        self.text = text
        self.functions = functions
        self.templates: Templates = {}
        self.variables = ["$"]
        self.loops = 0
        self.index = 0
        try:
            self.tokens = list(tokens(text))
        except LexError as error:
            raise self.error(error.message, error.position) from None

    def error(self, message: str, position: int) -> TemplateError:
        return TemplateError(f"template: {self.name}:{line_of(self.text, position)}: {message}")

    def failure(self, message: str) -> TemplateError:
        """At the token that was taken last."""
        return self.error(message, self.tokens[max(self.index - 1, 0)].position)

    def fail(self, message: str) -> NoReturn:
        raise self.failure(message)

    def surprise(self, token: Token, context: str) -> TemplateError:
        shown = json.dumps(token.text, ensure_ascii=False)
        if token.kind is Kind.END:
            shown = "EOF"
        elif token.kind is Kind.KEYWORD:
            shown = f"<{token.text}>"
        return self.error(f"unexpected {shown} in {context}", token.position)

    def next(self) -> Token:
        token = self.tokens[self.index]
        self.index += token.kind is not Kind.END
        return token

    def peek(self) -> Token:
        return self.tokens[self.index]

    def skip_space(self) -> Token:
        """The next token that is no space, not taken."""
        while self.peek().kind is Kind.SPACE:
            self.index += 1
        return self.peek()

    def next_beyond_space(self) -> Token:
        self.skip_space()
        return self.next()

    def expect(self, kind: Kind, context: str) -> Token:
        token = self.next_beyond_space()
        if token.kind is not kind:
            raise self.surprise(token, context)
        return token

    def parse(self) -> Templates:
        body: list[Node] = []
        while self.peek().kind is not Kind.END:
            if self.at_keyword("define"):
                self.define()
                continue
            node = self.text_or_action()
            if isinstance(node, str):
                self.fail(f"unexpected {{{{{node}}}}}")
            body.append(node)
        self.add(self.name, tuple(body))
        return self.templates

    def at_keyword(self, keyword: str) -> bool:
        """Whether an action that begins with `keyword` comes next; then its delimiter and the
        keyword are taken.
        """
        start = self.index
        if self.next().kind is Kind.LEFT and self.next_beyond_space()[:2] == (
            Kind.KEYWORD,
            keyword,
        ):
            return True
        self.index = start
        return False

    def add(self, name: str, body: tuple[Node, ...]) -> None:
        old = self.templates.get(name)
        if old is not None and not _is_empty(old) and not _is_empty(body):
            self.fail(f'multiple definition of template "{name}"')
        if old is None or _is_empty(old):
            self.templates[name] = body

    def define(self) -> None:
        name = self.template_name("define clause")
        self.expect(Kind.RIGHT, "define clause")
        self.add(name, self.own_body("define clause"))

    def own_body(self, context: str) -> tuple[Node, ...]:
        """That of a template of its own, which sees no variable and no loop around it."""
        outer, self.variables = self.variables, ["$"]
        loops, self.loops = self.loops, 0
        body, end = self.body_until()
        self.variables, self.loops = outer, loops
        if end != "end":
            self.fail(f"unexpected {{{{{end}}}}} in {context}")
        return body

    def body_until(self) -> tuple[tuple[Node, ...], str]:
        """Up to `{{end}}` or `{{else}}`, and which of the two."""
        body: list[Node] = []
        while self.peek().kind is not Kind.END:
            node = self.text_or_action()
            if isinstance(node, str):
                return tuple(body), node
            body.append(node)
        raise self.failure("unexpected EOF")

    def text_or_action(self) -> Node | str:
        """A node; or "end" or "else" when that is what comes."""
        token = self.next()
        if token.kind is Kind.TEXT:
            return Text(token.text)
        if token.kind is not Kind.LEFT:
            raise self.surprise(token, "input")
        token = self.skip_space()
        if token.kind is not Kind.KEYWORD:
            return Action(self.pipeline("command", Kind.RIGHT))
        self.next()
        if token.text in {"if", "with", "range"}:
            return self.branch(token.text)
        if token.text == "end":
            self.expect(Kind.RIGHT, "end")
            return "end"
        if token.text == "else":
            if self.skip_space()[:2] != (Kind.KEYWORD, "if"):
                self.expect(Kind.RIGHT, "else")
            return "else"
        if token.text in {"break", "continue"}:
            self.expect(Kind.RIGHT, f"{{{{{token.text}}}}}")
            if not self.loops:
                self.fail(f"{{{{{token.text}}}}} outside {{{{range}}}}")
            return Jump(token.text)
        if token.text == "template":
            return self.call(token.position)
        if token.text == "block":
            return self.block(token.position)
        raise self.surprise(token, "command")

    def branch(self, keyword: str) -> Branch:
        mark = len(self.variables)
        pipeline = self.pipeline(keyword, Kind.RIGHT)
        self.loops += keyword == "range"
        body, end = self.body_until()
        self.loops -= keyword == "range"
        otherwise: tuple[Node, ...] = ()
        if end == "else":
            # {{else if}} is {{else}}{{if}} with one {{end}} for both.
            if keyword == "if" and self.peek()[:2] == (Kind.KEYWORD, "if"):
                self.next()
                otherwise = (self.branch("if"),)
            else:
                if self.peek()[:2] == (Kind.KEYWORD, "if"):
                    raise self.surprise(self.peek(), "else")
                otherwise, end = self.body_until()
                if end != "end":
                    self.fail("expected end; found {{else}}")
        del self.variables[mark:]
        return Branch(keyword, pipeline, body, otherwise)

    def template_name(self, context: str) -> str:
        token = self.next_beyond_space()
        if token.kind not in {Kind.STRING, Kind.RAW_STRING}:
            raise self.surprise(token, context)
        return self.literal(token)

    def literal(self, token: Token) -> str:
        try:
            return unquote(token.text)
        except ValueError as error:
            raise self.error(str(error), token.position) from None

    def call(self, position: int) -> Call:
        name = self.template_name("template clause")
        if self.skip_space().kind is Kind.RIGHT:
            self.next()
            return Call(position, name, None)
        return Call(position, name, self.pipeline("template clause", Kind.RIGHT))

    def block(self, position: int) -> Call:
        name = self.template_name("block clause")
        pipeline = self.pipeline("block clause", Kind.RIGHT)
        self.add(name, self.own_body("block clause"))
        return Call(position, name, pipeline)

    def pipeline(self, context: str, end: Kind) -> Pipeline:
        position = self.skip_space().position
        variables, assigns = self.declaration(context)
        commands: list[Command] = []
        while True:
            token = self.skip_space()
            if token.kind is end:
                self.next()
                self.check_pipeline(commands, context)
                if not assigns:
                    self.variables += variables
                return Pipeline(position, tuple(variables), assigns, tuple(commands))
            if token.kind not in _OPERANDS:
                raise self.surprise(token, context)
            commands.append(self.command())

    def check_pipeline(self, commands: list[Command], context: str) -> None:
        if not commands:
            self.fail(f"missing value for {context}")
        for number_, command in enumerate(commands[1:], 2):
            first = command.arguments[0]
            if isinstance(first, Constant | Dot | Nil):
                self.fail(f"non executable command in pipeline stage {number_}")

    def declaration(self, context: str) -> tuple[list[str], bool]:
        """`$a :=`, `$a =`, and for range `$a, $b :=`; nothing taken when there is none."""
        start = self.index
        names: list[str] = []
        while self.skip_space().kind is Kind.VARIABLE:
            names.append(self.next().text)
            token = self.skip_space()
            if token.kind in {Kind.DECLARE, Kind.ASSIGN}:
                self.next()
                if token.kind is Kind.ASSIGN:
                    for name in names:
                        self.check_variable(name)
                return names, token.kind is Kind.ASSIGN
            if token.kind is not Kind.COMMA:
                break
            if context != "range" or len(names) > 1:
                self.fail(f"too many declarations in {context}")
            self.next()
        self.index = start
        return [], False

    def check_variable(self, name: str) -> None:
        if name not in self.variables:
            self.fail(f'undefined variable "{name}"')

    def command(self) -> Command:
        position = self.skip_space().position
        arguments: list[Operand] = []
        while True:
            self.skip_space()
            operand = self.operand()
            if operand is not None:
                arguments.append(operand)
            token = self.peek()
            if token.kind is Kind.SPACE:
                continue
            if token.kind is Kind.PIPE:
                self.next()
                if self.skip_space().kind not in _OPERANDS:
                    self.fail("missing value for command")
            elif token.kind not in {Kind.RIGHT, Kind.CLOSE}:
                raise self.surprise(token, "operand")
            break
        if not arguments:
            self.fail("empty command")
        return Command(position, tuple(arguments))

    def operand(self) -> Operand | None:
        node = self.term()
        if node is None:
            return None
        if self.peek().kind is not Kind.FIELD:
            return node
        position = self.peek().position
        names: list[str] = []
        while self.peek().kind is Kind.FIELD:
            names.append(self.next().text[1:])
        if isinstance(node, Field):
            return Field(position, (*node.names, *names))
        if isinstance(node, Variable):
            return Variable(position, node.name, tuple(names))
        if isinstance(node, Constant | Nil | Dot):
            self.fail(f'unexpected . after term "{node}"')
        return Chain(position, node, tuple(names))

    def term(self) -> Operand | None:
        token = self.peek()
        if token.kind not in _OPERANDS:
            return None
        self.next()
        position, text = token.position, token.text
        if token.kind is Kind.OPEN:
            return self.pipeline("parenthesized pipeline", Kind.CLOSE)
        if token.kind is Kind.IDENTIFIER:
            if text not in self.functions:
                self.fail(f'function "{text}" not defined')
            return Function(position, text)
        if token.kind is Kind.VARIABLE:
            self.check_variable(text)
            return Variable(position, text)
        simple: dict[Kind, Callable[[], Operand]] = {
            Kind.DOT: lambda: Dot(position),
            Kind.NIL: lambda: Nil(position),
            Kind.FIELD: lambda: Field(position, (text[1:],)),
            Kind.BOOL: lambda: Constant(position, text, text == "true"),
            Kind.STRING: lambda: Constant(position, text, self.literal(token)),
            Kind.RAW_STRING: lambda: Constant(position, text, self.literal(token)),
        }
        if token.kind in simple:
            return simple[token.kind]()
        try:
            value = character(text) if token.kind is Kind.CHARACTER else number(text)
        except ValueError as error:
            raise self.error(str(error), position) from None
        return Constant(position, text, value)


def _is_empty(body: tuple[Node, ...]) -> bool:
    return all(isinstance(node, Text) and not node.text.strip() for node in body)
