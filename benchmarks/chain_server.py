"""Mounts an image as the engine does, by its merged index: python -m benchmarks.chain_server -o OPTIONS MOUNTPOINT.

`lowerdir` names directories, top first, whose archives (NUMBER.tar) and merged index (chain) lie beside them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from unionfs.commands.mount import MountOptions, mount
from unionfs.directory.upper import DirectoryUpper
from unionfs.ownership import IdView, Ownership
from unionfs.session.device import serve
from unionfs.tar.layer import ChainLayer
from unionfs.union import Union, UnionOptions


def main() -> None:
    flag, text, mountpoint = sys.argv[1:]
    if flag != "-o":
        raise SystemExit("usage: chain_server -o OPTIONS MOUNTPOINT")
    options = dict(item.split("=", 1) for item in text.split(",") if "=" in item)
    layers = [Path(name).resolve() for name in options["lowerdir"].split(":")]
    archives = [layer.with_suffix(".tar") for layer in reversed(layers)]
    upper = DirectoryUpper(
        os.fsencode(options["upperdir"]), os.fsencode(options["workdir"]), ownership=Ownership.DATA
    )
    only_root = IdView(((0, 1),), ((0, 1),), 0, 0)
    union = Union(
        [ChainLayer(layers[0].parent / "chain", archives)], upper, UnionOptions(view=only_root)
    )
    serve(mount(mountpoint, MountOptions()), union)


if __name__ == "__main__":
    main()
