"""Go's text/template, as far as Docker's `--format` shows it to users. Pure; knows nothing of
containers.

    template = parse("{{json .State}}")
    template.render({"State": {"Running": True}})

A mapping is a Go map: a missing key prints `<no value>`, or is an error with `missing_key="error"`.
A `Struct` is a Go struct: a missing field is always an error. A callable value is a method:
`{{.Label "key"}}` calls it. Lists, strings, numbers, booleans and None are themselves.
"""

from rootless.gotemplate.errors import TemplateError
from rootless.gotemplate.template import Template, parse
from rootless.gotemplate.values import NilMap, NilPointer, NilSlice, Stringer, StringMap, Struct

__all__ = [
    "NilMap",
    "NilPointer",
    "NilSlice",
    "StringMap",
    "Stringer",
    "Struct",
    "Template",
    "TemplateError",
    "parse",
]
