"""A parsed template, and its evaluation (text/template, exec.go). Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Literal, NoReturn

from rootless.gotemplate.errors import CallError, TemplateError
from rootless.gotemplate.formatting import plain
from rootless.gotemplate.functions import BUILTINS, DOCKER, refused_number
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
from rootless.gotemplate.parser import Templates, line_of, parse_templates
from rootless.gotemplate.values import (
    MISSING,
    Method,
    Struct,
    Value,
    is_true,
    sorted_items,
    type_name,
)

_SHORT_CIRCUIT = frozenset({"and", "or"})
_DEEPEST_CALL = 100
"""Nested `{{template}}`; Go's limit is 100,000, Python's stack is smaller."""
MissingKey = Literal["default", "error"]


class Template:
    """Made by `parse`."""

    def __init__(
        self, name: str, text: str, templates: Templates, functions: Mapping[str, Method]
    ) -> None:
        self.name = name
        self.text = text
        self.templates = templates
        self.functions = functions

    def render(self, data: Value, *, missing_key: MissingKey = "default") -> str:
        """The output for `data`. Raises TemplateError."""
        out: list[str] = []
        root = MISSING if data is None else data
        evaluation = _Evaluation(self, self.name, root, out, missing_key)
        try:
            evaluation.run(self.templates[self.name])
        except RecursionError:
            raise TemplateError(f"template: {self.name}: nested too deeply") from None
        return "".join(out)


def parse(text: str, *, name: str = "", functions: Mapping[str, Method] | None = None) -> Template:
    """`functions` are there beside Go's and Docker's. Raises TemplateError."""
    known = BUILTINS | DOCKER | dict(functions or {})
    try:
        templates = parse_templates(name, text, {*known, *_SHORT_CIRCUIT})
    except RecursionError:
        raise TemplateError(f"template: {name}: nested too deeply") from None
    return Template(name, text, templates, known)


class _Break(Exception):  # noqa: N818 - not an error
    pass


class _Continue(Exception):  # noqa: N818 - not an error
    pass


class _Evaluation:
    """One template with its variables; `{{template}}` makes another."""

    def __init__(
        self,
        template: Template,
        name: str,
        data: Value,
        out: list[str],
        missing_key: MissingKey,
        *,
        depth: int = 0,
    ) -> None:
        self.template = template
        self.name = name
        self.dot = data
        self.out = out
        self.missing_key: MissingKey = missing_key
        self.depth = depth
        self.variables: list[tuple[str, Value]] = [("$", data)]

    def failure(self, node: Operand | Command | Call, message: str) -> TemplateError:
        text = self.template.text
        line_start = text.rfind("\n", 0, node.position) + 1
        place = f"{self.template.name}:{line_of(text, node.position)}:{node.position - line_start}"
        name = json.dumps(self.name, ensure_ascii=False)
        return TemplateError(f"template: {place}: executing {name} at <{node}>: {message}")

    def fail(self, node: Operand | Command | Call, message: str) -> NoReturn:
        raise self.failure(node, message)

    def run(self, body: Iterable[Node]) -> None:
        for node in body:
            if isinstance(node, Text):
                self.out.append(node.text)
            elif isinstance(node, Action):
                value = self.pipeline(node.pipeline)
                if not node.pipeline.variables:
                    self.print(node.pipeline, value)
            elif isinstance(node, Branch):
                self.branch(node)
            elif isinstance(node, Jump):
                raise _Break if node.keyword == "break" else _Continue
            else:
                self.call(node)

    def print(self, node: Pipeline, value: Value) -> None:
        if value is MISSING:
            self.out.append("<no value>")
        elif callable(value):
            self.fail(node, f"can't print {node} of type {type_name(value)}")
        else:
            self.out.append(plain(value))

    def branch(self, node: Branch) -> None:
        mark = len(self.variables)
        dot = self.dot
        value = self.pipeline(node.pipeline)
        if node.keyword == "range":
            self.loop(node, value)
        elif is_true(value):
            if node.keyword == "with":
                self.dot = value
            self.run(node.body)
        else:
            self.run(node.otherwise)
        self.dot = dot
        del self.variables[mark:]

    def loop(self, node: Branch, value: Value) -> None:
        items: Iterable[tuple[Value, Value]]
        if isinstance(value, Mapping):
            items = sorted_items(value)
        elif isinstance(value, list | tuple | bytes):
            items = enumerate(value)
        elif value is None or value is MISSING:
            items = ()
        else:
            self.fail(node.pipeline, f"range can't iterate over {plain(value)}")
        names, dot = node.pipeline.variables, self.dot
        mark = len(self.variables)
        empty = True
        for key, item in items:
            empty = False
            # One variable is the element, two are index and element.
            for name, part in zip(reversed(names), (item, key), strict=False):
                if node.pipeline.assigns:
                    self.assign(name, part)
                else:
                    self.variables.append((name, part))
            self.dot = item
            try:
                self.run(node.body)
            except _Continue:
                pass
            except _Break:
                break
            finally:
                self.dot = dot
                del self.variables[mark:]
        if empty:
            self.run(node.otherwise)

    def call(self, node: Call) -> None:
        body = self.template.templates.get(node.name)
        if body is None:
            name = json.dumps(node.name, ensure_ascii=False)
            self.fail(node, f"template {name} not defined")
        if self.depth == _DEEPEST_CALL:
            self.fail(node, f"exceeded maximum template depth ({_DEEPEST_CALL})")
        data = self.pipeline(node.pipeline) if node.pipeline else MISSING
        inner = _Evaluation(
            self.template, node.name, data, self.out, self.missing_key, depth=self.depth + 1
        )
        inner.run(body)

    def assign(self, name: str, value: Value) -> None:
        for position in range(len(self.variables) - 1, -1, -1):
            if self.variables[position][0] == name:
                self.variables[position] = (name, value)
                return

    def pipeline(self, node: Pipeline) -> Value:
        values: tuple[Value, ...] = ()
        for command in node.commands:
            value = self.command(command, values)
            # A nil that was found in a map prints as no value at all.
            values = (MISSING if value is None else value,)
        # Those of `range` are set by the loop, and hidden by it till then.
        for name in node.variables:
            if node.assigns:
                self.assign(name, values[0])
            else:
                self.variables.append((name, values[0]))
        return values[0]

    def command(self, node: Command, final: tuple[Value, ...]) -> Value:
        """`final` is the value of the command before, the last argument of this one."""
        first, *rest = node.arguments
        if isinstance(first, Function):
            return self.function(first, rest, final, node)
        if isinstance(first, Field):
            return self.fields(first, self.dot, first.names, rest, final)
        if isinstance(first, Chain):
            if isinstance(first.operand, Nil):
                self.fail(first, "indirection through explicit nil in")
            return self.fields(first, self.argument(first.operand), first.names, rest, final)
        if isinstance(first, Variable):
            value = self.variable(first)
            if first.names:
                return self.fields(first, value, first.names, rest, final)
            if callable(value) and not (rest or final):
                return value
        if rest or final:
            self.fail(first, f"can't give argument to non-function {first}")
        if isinstance(first, Nil):
            self.fail(first, "nil is not a command")
        return self.argument(first)

    def variable(self, node: Variable) -> Value:
        for name, value in reversed(self.variables):
            if name == node.name:
                return value
        raise self.failure(node, f"undefined variable: {node.name}")

    def argument(self, node: Operand) -> Value:
        if isinstance(node, Dot):
            return self.dot
        if isinstance(node, Nil):
            return None
        if isinstance(node, Constant):
            return node.value
        if isinstance(node, Pipeline):
            return self.pipeline(node)
        if isinstance(node, Function):
            return self.function(node, [], (), node)
        if isinstance(node, Field):
            return self.fields(node, self.dot, node.names, [], ())
        if isinstance(node, Variable):
            return self.fields(node, self.variable(node), node.names, [], ())
        return self.fields(node, self.argument(node.operand), node.names, [], ())

    def function(
        self,
        node: Function,
        arguments: list[Operand],
        final: tuple[Value, ...],
        call: Operand | Command,
    ) -> Value:
        """`call` is what an error of the function quotes: the command with the arguments."""
        if node.name in _SHORT_CIRCUIT:
            return self.short_circuit(node, arguments, final)
        values = [*map(self.argument, arguments[1:]), *final]
        if arguments:
            # What `call` is to call must not be called on the way.
            of_first = self.uncalled if node.name == "call" else self.argument
            values.insert(0, of_first(arguments[0]))
        return self.invoke(node, node.name, self.template.functions[node.name], values, call)

    def uncalled(self, node: Operand) -> Value:
        """As `argument`, but a function that is found is the value and not what it returns."""
        if not isinstance(node, Field) or not isinstance(self.dot, Mapping | Struct):
            return self.argument(node)
        *path, last = node.names
        owner = self.fields(node, self.dot, tuple(path), [], ())
        within = owner.fields if isinstance(owner, Struct) else owner
        found = within.get(last) if isinstance(within, Mapping) else None
        return found if callable(found) else self.argument(node)

    def short_circuit(
        self, node: Function, arguments: list[Operand], final: tuple[Value, ...]
    ) -> Value:
        if not arguments and not final:
            self.fail(node, f"wrong number of args for {node.name}: want at least 1 got 0")
        value: Value = None
        for argument in arguments:
            value = self.argument(argument)
            if is_true(value) == (node.name == "or"):
                return value
        return final[0] if final else value

    def invoke(
        self,
        node: Operand,
        name: str,
        function: Method,
        values: list[Value],
        call: Operand | Command,
    ) -> Value:
        given = [None if value is MISSING else value for value in values]
        if wanted := refused_number(function, len(given)):
            self.fail(node, f"wrong number of args for {name}: {wanted} got {len(given)}")
        try:
            return function(*given)
        except CallError as error:
            self.fail(call, f"error calling {name}: {error}")

    def fields(
        self,
        node: Operand,
        value: Value,
        names: tuple[str, ...],
        arguments: list[Operand],
        final: tuple[Value, ...],
    ) -> Value:
        for position, name in enumerate(names):
            last = position == len(names) - 1
            value = self.field(node, value, name, arguments if last else [], final if last else ())
        return value

    def field(
        self,
        node: Operand,
        receiver: Value,
        name: str,
        arguments: list[Operand],
        final: tuple[Value, ...],
    ) -> Value:
        if receiver is MISSING:
            if self.missing_key == "error":
                self.fail(node, f'nil data; no entry for key "{name}"')
            return MISSING
        if receiver is None:
            self.fail(node, f"nil pointer evaluating interface {{}}.{name}")
        within = receiver.fields if isinstance(receiver, Struct) else receiver
        if not isinstance(within, Mapping):
            self.fail(node, f"can't evaluate field {name} in type {type_name(receiver)}")
        value = within.get(name, MISSING)
        if callable(value):
            values = [*map(self.argument, arguments), *final]
            return self.invoke(node, name, value, values, node)
        if value is MISSING and isinstance(receiver, Struct):
            self.fail(node, f"can't evaluate field {name} in type {type_name(receiver)}")
        if arguments or final:
            kind = "has arguments but cannot be invoked as function"
            if not isinstance(receiver, Struct):
                kind = "is not a method but has arguments"
            self.fail(node, f"{name} {kind}")
        if value is MISSING and self.missing_key == "error":
            self.fail(node, f'map has no entry for key "{name}"')
        return value
