"""The namespaces of a container that a driver connects. Pure."""

from __future__ import annotations

from unionfs.light_types import NamedTuple


class Namespaces(NamedTuple):
    """A container's user and network namespace, as descriptors, and its root user as ids of that user namespace.
    `drop_groups`: the namespace allows setgroups(2). `user` is None where the program that connects them is started by
    a process of that namespace.
    """

    user: int | None
    network: int
    root: tuple[int, int]
    drop_groups: bool
