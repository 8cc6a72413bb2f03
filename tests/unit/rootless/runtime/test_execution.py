"""The interpreter of a script is found as the kernel finds it."""

import pytest

from rootless.runtime.execution import script_interpreter


@pytest.mark.parametrize(
    ("head", "interpreter"),
    [
        (b"#!/bin/sh\n", b"/bin/sh"),
        (b"#! \t/bin/sh -e x\nmore", b"/bin/sh"),
        (b"#!/bin/sh\t-e\n", b"/bin/sh"),
        (b"#!/f/a\x0cb -c\n", b"/f/a\x0cb"),
        (b"#!/f/a\x0bb\r\n", b"/f/a\x0bb\r"),
        (b"#!/bin/sh\0rest", b"/bin/sh"),
        (b"#!  \n", None),
        (b"#!" + b" " * 254 + b"/bin/sh\n", None),
        (b"\x7fELF", None),
        (b"", None),
    ],
)
def test_script_interpreter_is_the_kernels(head, interpreter):
    assert script_interpreter(head) == interpreter
