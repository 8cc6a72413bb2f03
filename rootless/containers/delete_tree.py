"""Deletes a container's directory, including files of subordinate ids.

Under the storage driver unionfs all of it is the caller's. Kernel overlayfs keeps owners on disk, so
that an upper holds files and directories of the account's subordinate ids, which the account can
delete only as root of a user namespace that maps them.
"""

from __future__ import annotations

from rootless.durable import remove_tree


def remove_container_tree(path: str) -> None:
    """Delete a tree. Raises OSError, or LaunchError if no namespace can be made for it."""
    try:
        remove_tree(path)
    except PermissionError:
        from rootless.runtime.account import read_id_maps
        from rootless.runtime.idmap import UserNamespaceMode
        from rootless.runtime.user_namespace import run_in_user_namespace

        # Every map of an account reaches the same ids of the host, so that of any container does.
        maps = read_id_maps(UserNamespaceMode())
        if maps.single:
            raise
        run_in_user_namespace(maps, lambda: remove_tree(path))
