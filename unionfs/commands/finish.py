"""rootless-unionfs finish: copy the data that lazy copy-ups left in lower layers, in a mounted union or
in the upper of one that is not mounted.

    rootless-unionfs finish MOUNT
    rootless-unionfs finish UPPER --work DIR --lower LAYER [--lower LAYER ...]

Layers are those of the mount, the topmost first: a directory, or a layer archive with its index
(`index.sqlite`) beside it.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Sequence

from unionfs.commands.control import ask_server
from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.layer import Layer
from unionfs.ownership import Ownership
from unionfs.session.counters import FINISH
from unionfs.union import Union

_INDEX = "index.sqlite"


def finish(arguments: Sequence[str]) -> int:
    """Returns the number of bytes copied. Raises OSError: ENODATA if this is not a mount of this program,
    EBUSY if the upper is mounted, EINVAL if these are not its lowers, EIO if a lower has changed."""
    parser = ArgumentParser(
        prog="rootless-unionfs finish",
        description="Copy the data that lazy copy-ups left in lower layers.",
    )
    parser.add_argument("target", metavar="MOUNT|UPPER")
    parser.add_argument("--work", metavar="DIR", help="work directory of UPPER")
    parser.add_argument(
        "--lower",
        action="append",
        metavar="LAYER",
        help="lower layer, a directory or archive, topmost first; may be repeated",
    )
    asked = parser.parse_args(arguments)
    if asked.work is None and asked.lower is None:
        return finish_mounted(asked.target)
    if asked.work is None or asked.lower is None:
        parser.error("an UPPER needs --work and --lower")
    os.stat(asked.target)
    layers = [_layer(path) for path in asked.lower]
    upper = DirectoryUpper(
        os.fsencode(asked.target), os.fsencode(asked.work), ownership=Ownership.DATA
    )
    try:
        union = Union(layers, upper)
    except BaseException:
        upper.close()
        raise
    try:
        return union.complete_copies()
    finally:
        union.destroy()


def finish_mounted(mountpoint: str) -> int:
    """Have the server of a mount complete its lazy copies while it serves. Returns the number of bytes
    copied. Raises OSError as `ask_server` does."""
    return int(ask_server(mountpoint, FINISH))


def _layer(path: str) -> Layer:
    if os.path.isdir(path):
        return DirectoryLayer(os.fsencode(path), ownership=Ownership.DATA)
    from unionfs.tar.layer import TarLayer

    return TarLayer(path, os.path.join(os.path.dirname(path), _INDEX))
