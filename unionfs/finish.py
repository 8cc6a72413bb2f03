"""rootless-unionfs finish: complete what lazy copies have left in an upper that is not mounted.

    rootless-unionfs finish UPPER --work DIR --lower LAYER [--lower LAYER ...]

Layers are those of the mount, the topmost first: a directory, or a layer archive with its index
(`index.sqlite`) beside it.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Sequence

from unionfs.directory import DirectoryLayer, DirectoryUpper
from unionfs.layer import Layer
from unionfs.ownership import Ownership
from unionfs.union import Union

_INDEX = "index.sqlite"


def finish(arguments: Sequence[str]) -> int:
    """Returns the number of bytes copied. Raises OSError: EBUSY if the upper is mounted, EINVAL if these are
    not its lowers, EIO if one of them has changed."""
    parser = ArgumentParser(
        prog="rootless-unionfs finish",
        description="Copy what files of an upper still have in the lower layers only.",
    )
    parser.add_argument("upper", metavar="UPPER")
    parser.add_argument("--work", required=True, metavar="DIR", help="its work directory")
    parser.add_argument(
        "--lower",
        required=True,
        action="append",
        metavar="LAYER",
        help="a directory or an archive below it, the topmost first; may be repeated",
    )
    asked = parser.parse_args(arguments)
    os.stat(asked.upper)
    layers = [_layer(path) for path in asked.lower]
    upper = DirectoryUpper(
        os.fsencode(asked.upper), os.fsencode(asked.work), ownership=Ownership.DATA
    )
    try:
        union = Union(layers, upper)
    except BaseException:
        upper.close()
        raise
    try:
        return union.finish()
    finally:
        union.destroy()


def _layer(path: str) -> Layer:
    if os.path.isdir(path):
        return DirectoryLayer(os.fsencode(path), ownership=Ownership.DATA)
    from unionfs.tar import TarLayer

    return TarLayer(path, os.path.join(os.path.dirname(path), _INDEX))
