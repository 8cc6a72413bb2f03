"""`hpc overlay create`: a file for --overlay."""

from __future__ import annotations

import os
import posixpath

from rootless.cli.context import Settings
from rootless.cli.grammar import Command, Flag, Number, Parsed, Texts
from rootless.errors import UsageError

_SIZE = Number(("size", "s"), "Size in MiB (default 64)", "MIB")
_SPARSE = Flag(("sparse", "S"), "Take room on the disk only for what is written")
_CREATE_DIR = Texts(
    ("create-dir",), "A directory that the layer has, several separated by commas", "DIR"
)
_FAKEROOT = Flag(("fakeroot", "f"), "Has no effect: it is always so", hidden=True)
_LEAST = 64
"""Apptainer's; a smaller one has hardly any room beside its journal."""


def overlay(parsed: Parsed, _: Settings) -> int:
    """Make an ext3 image with an empty writable layer."""
    word, path = parsed.arguments
    if word != "create":
        raise UsageError(f"unknown command: rootless hpc overlay {word}", hint="use create")
    asked = parsed[_SIZE]
    size = _LEAST if asked is None else asked
    if size < _LEAST:
        raise UsageError(f"--size {size}: an image has {_LEAST} MiB or more")
    if os.path.isdir(path):
        raise UsageError(
            f"{path} is a directory, which needs no image", hint=f"use --overlay {path}"
        )
    if path.endswith((".sif", ".simg")):
        raise UsageError(
            f"{path}: nothing is added to a SIF file", hint="name a file of its own, such as x.img"
        )
    from rootless.images.formats.ext_image import make_ext_image

    directories = [
        posixpath.normpath(f"/{each}")
        for text in parsed[_CREATE_DIR]
        for each in text.split(",")
        if each
    ]
    make_ext_image(path, size << 20, sparse=parsed[_SPARSE], directories=directories)
    return 0


OVERLAY = Command(
    "overlay",
    "Make a file for --overlay",
    "create FILE",
    (_SIZE, _SPARSE, _CREATE_DIR, _FAKEROOT),
    overlay,
    least=2,
    most=2,
    description="""Make an ext3 image with an empty writable layer, as apptainer overlay create does: one file that
keeps what containers write, for a file system on which many small files are slow. fuse2fs mounts it.""",
)
