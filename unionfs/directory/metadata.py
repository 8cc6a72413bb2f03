"""Sets owner, mode, attributes and times of an object on disk, given those that the container is to see."""

from __future__ import annotations

import errno
import os
import stat

from unionfs.layer import Creation
from unionfs.ownership import Owner, format_override, plain_mode
from unionfs.xattr_names import NLINK, ORIGIN, OVERRIDE_STAT, to_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unionfs.directory.attribute_store import AttributeStore


class MetadataWriter:
    """Writes them by the ownership policy: see `unionfs.ownership`. `server`: uid and gid of the
    serving user."""

    def __init__(
        self,
        store: AttributeStore,
        *,
        as_data: bool,
        base_owner: tuple[int, int],
        server: tuple[int, int],
    ) -> None:
        self._store = store
        self._as_data = as_data
        self._bare_owner = base_owner if as_data else server

    def is_bare(self, creation: Creation) -> bool:
        """Whether an object that is simply made with this mode is already what it is to be."""
        mode, uid, gid, _, _, xattrs, _, mtime, origin, nlink, _ = creation
        return (
            not self._store.is_index
            and (uid, gid) == self._bare_owner
            and not xattrs
            and origin is None
            and nlink is None
            and mtime is None
            and (not self._as_data or stat.S_ISLNK(mode) or plain_mode(mode) == mode & 0o7777)
        )

    def is_bare_file(self, mode: int, uid: int, gid: int) -> bool:
        """As `is_bare`, for a regular file without anything else to set."""
        if (uid, gid) != self._bare_owner or self._store.is_index:
            return False
        # plain_mode(mode) is the mode.
        return not self._as_data or mode & 0o7600 == 0o600

    def is_stored_as_file(self, creation: Creation) -> bool:
        """Whether something that is not a directory must be a regular file on disk, to carry an
        override."""
        if not self._as_data:
            return False
        if not stat.S_ISLNK(creation.mode):
            return True
        return (creation.uid, creation.gid) != self._bare_owner or creation.origin is not None

    def apply(self, path: bytes | int, creation: Creation, *, follow: bool) -> None:
        """Set owner and mode, then attributes, then times: in another order each would undo part of
        what was set before it."""
        st = os.stat(path, follow_symlinks=follow)
        if self._as_data:
            if not stat.S_ISLNK(st.st_mode):
                self._write_override(
                    path,
                    Owner(creation.uid, creation.gid, creation.mode, creation.rdev),
                    st.st_mode,
                )
        else:
            # Ordinary attributes take the right to write (xattr_permission), which the mode may
            # not give; a change of owner removes security.capability.
            self._set_all(path, creation, follow=follow, ordinary=True)
            if (st.st_uid, st.st_gid) != (creation.uid, creation.gid):
                os.chown(path, creation.uid, creation.gid, follow_symlinks=follow)
            if not stat.S_ISLNK(st.st_mode):
                os.chmod(path, stat.S_IMODE(creation.mode))
            self._set_all(path, creation, follow=follow, ordinary=False)
            self.set_times(path, creation, follow=follow)
            return
        self._set_all(path, creation, follow=follow, ordinary=True)
        self.set_times(path, creation, follow=follow)

    def _set_all(
        self, path: bytes | int, creation: Creation, *, follow: bool, ordinary: bool
    ) -> None:
        """The attributes, either those under `user.` or the others."""
        for name, value in creation.xattrs.items():
            stored = to_disk(name, as_data=self._as_data)
            if stored is not None and stored.startswith(b"user.") is ordinary:
                self._set(path, stored, value, follow=follow)
        if not ordinary:
            return
        if creation.origin is not None:
            self._set(path, ORIGIN, b"%d" % creation.origin, follow=follow)
        if creation.nlink is not None:
            self._set(path, NLINK, b"%d" % creation.nlink, follow=follow)

    @staticmethod
    def set_times(path: bytes | int, creation: Creation, *, follow: bool) -> None:
        if creation.mtime_ns is not None:
            atime = creation.mtime_ns if creation.atime_ns is None else creation.atime_ns
            os.utime(path, ns=(atime, creation.mtime_ns), follow_symlinks=follow)

    def change_owner(
        self, path: bytes | int, owner: Owner, disk_mode: int, *, follow: bool
    ) -> None:
        """Change owner and mode of what is there, under `Ownership.DATA`."""
        is_bare = self._write_override(path, owner, disk_mode, follow=follow)
        if not is_bare:
            return
        if OVERRIDE_STAT in self._store.names(path, follow):
            self._store.remove(path, OVERRIDE_STAT, follow=follow)
        elif disk_mode & 0o7777 == owner[2] & 0o7777:
            # Nothing was written, but chmod(2) and chown(2) to what is there already set the time of the change.
            os.chmod(path, disk_mode & 0o7777)

    def _write_override(
        self, path: bytes | int, owner: Owner, disk_mode: int, *, follow: bool = True
    ) -> bool:
        """Returns whether the object needs no override. One that stays is set before the mode, one
        that goes is removed after it: at every instant the old or the new is read."""
        mode = owner[2]
        same_kind = not (mode ^ disk_mode) & 0o170000
        plain = plain_mode(mode) if same_kind else 0o600
        is_bare = same_kind and owner[:2] == self._bare_owner and plain == mode & 0o7777
        if not is_bare:
            value = format_override(owner, disk_mode)
            self._store.set(path, OVERRIDE_STAT, value, follow=follow)
        if disk_mode & 0o7777 != plain:
            os.chmod(path, plain)
        return is_bare

    def _set(self, path: bytes | int, name: bytes, value: bytes, *, follow: bool) -> None:
        """What the file system of the upper cannot hold is left out, as cp -a does. EINVAL: an ACL of
        ids that this user namespace does not have."""
        try:
            self._store.set(path, name, value, follow=follow)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EINVAL):
                raise
