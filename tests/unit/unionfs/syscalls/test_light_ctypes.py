"""light_ctypes has every name of `ctypes` that the system calls use, with the same meaning."""

from __future__ import annotations

import ast
import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unionfs.syscalls.light_ctypes import ctypes as light

ROOT = Path(__file__).parents[4]


def used() -> Iterator[str]:
    """Each attribute of `ctypes` that is evaluated at run time."""
    for package in ("rootless", "unionfs"):
        for path in sorted((ROOT / package / "syscalls").glob("*.py")):
            tree = ast.parse(path.read_text())
            annotations = {
                id(inner)
                for node in ast.walk(tree)
                for field in ("returns", "annotation")
                if isinstance(part := getattr(node, field, None), ast.AST)
                for inner in ast.walk(part)
            }
            for node in ast.walk(tree):
                match node:
                    case ast.Attribute(value=ast.Name(id="ctypes"), attr=name) if (
                        id(node) not in annotations
                    ):
                        yield name


@pytest.mark.parametrize("name", sorted(set(used())))
def test_name_that_is_used_means_what_it_means_in_the_library(name: str) -> None:
    ours, real = getattr(light, name), getattr(ctypes, name)
    if name.startswith("c_"):
        assert ctypes.sizeof(ours) == ctypes.sizeof(real)
        value = b"x" if name == "c_char_p" else 2 ** (8 * ctypes.sizeof(real)) - 1
        assert ours(value).value == real(value).value
    elif name not in {"CDLL", "PyDLL"}:
        assert ours is real


def test_call_returns_a_number_and_leaves_errno() -> None:
    library = light.CDLL(None, use_errno=True)
    assert library.getpid() == os.getpid()
    assert library.getpid is library.getpid
    close = library.close
    close.argtypes = [light.c_int]
    assert close(-1) == -1
    assert light.get_errno() == errno.EBADF


def test_library_or_function_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(OSError, match="no-such-library"):
        light.CDLL("no-such-library.so")
    with pytest.raises(AttributeError):
        light.CDLL(None).no_such_function  # noqa: B018


def test_interpreter_itself_can_be_called() -> None:
    version = light.PyDLL(None).Py_GetVersion
    version.restype = light.c_char_p
    assert version().decode() == sys.version


def test_system_calls_do_not_load_the_other_half() -> None:
    code = (
        "import sys, rootless.syscalls.processes, rootless.syscalls.mounts, rootless.syscalls.seccomp, "
        "unionfs.syscalls.files; print('ctypes' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, timeout=120
    )
    assert done.stdout == b"False\n"
