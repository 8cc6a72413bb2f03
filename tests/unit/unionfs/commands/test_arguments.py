"""fuse-overlayfs's command line, as far as it is decided without mounting."""

import pytest

from unionfs.commands.arguments import Invocation, UsageError, parse_arguments
from unionfs.options import Options


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["m"], Invocation("m", Options(), foreground=False)),
        (["-o", "lowerdir=a", "m"], Invocation("m", Options(lowerdirs=("a",)), foreground=False)),
        (["-olowerdir=a", "m"], Invocation("m", Options(lowerdirs=("a",)), foreground=False)),
        (["m", "-o", "ro", "-o", "rw"], Invocation("m", Options(), foreground=False)),
        (["-f", "m"], Invocation("m", Options(), foreground=True)),
        (["--debug", "m"], Invocation("m", Options(debug=True), foreground=True)),
        (["--session=pyfuse3", "m"], Invocation("m", Options(session="pyfuse3"), foreground=False)),
        (
            ["--session", "device", "m"],
            Invocation("m", Options(session="device"), foreground=False),
        ),
        (["-s", "-n", "-t", "fuse", "m"], Invocation("m", Options(), foreground=False)),
        (["src", "m", "-o", "rw"], Invocation("m", Options(fsname="src"), foreground=False)),
        (
            ["--bogus", "-o", "private", "m"],
            Invocation("m", Options(unknown=("--bogus", "private")), foreground=False),
        ),
        (["-f", "--", "-odd"], Invocation("-odd", Options(), foreground=True)),
    ],
)
def test_arguments_of_fuse_overlayfs_are_understood(arguments, expected):
    assert parse_arguments(arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the mount point is missing"),
        (["a", "b", "c"], "unexpected argument 'c'"),
        (["m", "-o"], "argument '-o' needs a value"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_in_one_line(arguments, complaint):
    with pytest.raises(UsageError) as raised:
        parse_arguments(arguments)
    assert str(raised.value) == complaint


@pytest.mark.parametrize("argument", ["-V", "--version", "-h", "--help"])
def test_version_and_help_are_answered_before_anything_else(argument):
    assert "rootless-unionfs" in parse_arguments([argument, "--bogus"])
