"""Reads ahead for a container that starts: a process advises the kernel which parts of the layers will be needed.

A process of its own does it, beside the start, and ends. Where the files lie in the layers is looked up as the container will
look them up, which brings the indexes into memory too. The kernel reads in the background, many parts at once
(posix_fadvise(2)); on a disk or a network that is slow to answer this is what costs a cold start its time.
"""

from __future__ import annotations

import os
import stat

from rootless.containers.launch_description import HostTree, LaunchDescription
from rootless.light_stdlib import read_file
from rootless.supervisor.engine_log import log, log_exception
from rootless.supervisor.messages import close_all_but

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.launch_description import ImageTree
    from rootless.tracing.reading_list import Part


def begin_prefetch(description: LaunchDescription) -> None:
    """Start the process, which the caller need not wait for. The caller must have one thread."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    try:
        close_all_but(())
        if os.fork() == 0:
            _prefetch(description.prefetch, description.tree)
    finally:
        os._exit(0)


def _prefetch(file: str, tree: HostTree | ImageTree) -> None:
    """What is wrong with the list is logged: the container runs without it."""
    from rootless.errors import RootlessError
    from rootless.tracing.reading_list import read_reading_list

    try:
        advise(tree, read_reading_list(read_file(file), file))
    except OSError as error:
        log(f"{error.filename or file}: {error.strerror}")
    except RootlessError as error:
        log(error.message)
    except Exception as error:  # noqa: BLE001 - the last resort of this process
        log_exception(error)


def _advise_indexes(tree: HostTree | ImageTree) -> None:
    """Have the kernel read the indexes of an image, in which each look-up reads a few pages here and there."""
    if isinstance(tree, HostTree):
        return
    merged = len(tree.layers) - tree.above if tree.chain is not None else 0
    indexes = [index for _, index in tree.layers[merged:]]
    for path in indexes if tree.chain is None else [tree.chain, *indexes]:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(descriptor)


def advise(tree: HostTree | ImageTree, parts: list[Part]) -> int:
    """Have the kernel read parts of files of a tree. Returns the number of bytes. What is not there is left out."""
    from rootless.rootfs.union import lower_layers
    from rootless.rootfs.union_copy import find_node
    from unionfs.union import Union

    _advise_indexes(tree)
    union = Union(lower_layers(tree), None)
    total = 0
    try:
        for path, size in parts:
            node = find_node(union, os.fsdecode(path))
            if node is None or not stat.S_ISREG(union.getattr(node).mode):
                continue  # a trace has symbolic links too
            length = union.getattr(node).size if size is None else size
            found = union.source(node, 0, length) if length else None
            if found is not None:
                os.posix_fadvise(*found, os.POSIX_FADV_WILLNEED)
                total += found[2]
    finally:
        union.destroy()
    return total
