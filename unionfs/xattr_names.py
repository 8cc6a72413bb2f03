"""The names of extended attributes on disk: the container's own, and the bookkeeping beside them.

A name that bookkeeping needs, or that an ordinary user may not set, is stored under another name
and shown under its own, so that a union can serve as the layer of another one. `user.overlay.*`
is escaped as the kernel does it (fs/overlayfs/xattrs.c, ovl_xattr_escape_name), everything else
by the prefix `user.rootless.xattr.`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

OVERRIDE_STAT = b"user.containers.override_stat"
ORIGIN = b"user.rootless.origin"
REDIRECT = b"user.rootless.redirect"
NLINK = b"user.rootless.nlink"
LAZY = b"user.rootless.lazy"
ADOPT = b"user.rootless.adopt"
"""Set on a directory of a mount, and kept nowhere: see `unionfs.directory.prepared`."""
OWNER = b"security.rootless.owner"
"""Set on an object of a mount that records owners, and kept nowhere: `UID:GID`, either of them empty, is chown(2)
for ids that the mount's user namespace may not have. The kernel wants CAP_SYS_ADMIN in that namespace for it
(cap_inode_setxattr, security/commoncap.c). Read, in a mount that shows one id only, it is the owner that is stored."""
USER_OWNER = b"user.rootless.owner"
"""The same of a file or directory that the process may write, for a process in a user namespace below that of the mount."""
NODE = b"security.rootless.node"
"""Set on a directory of such a mount, and kept nowhere: `MODE:RDEV:UMASK/NAME` is mknod(2) of a device, which the kernel
refuses to users without CAP_MKNOD on the host. The numbers are decimal, and MODE has the type. The kernel keeps a
negative dentry of a name that a process has looked up, and the server does not drop it: the name has to be a new one."""
USER_NODE = b"user.rootless.node"
"""The same for a process in a user namespace below that of the mount, as USER_OWNER."""
CAPABILITY = b"security.capability"
ACCESS_ACL = b"system.posix_acl_access"
DEFAULT_ACL = b"system.posix_acl_default"
ACLS = frozenset((ACCESS_ACL, DEFAULT_ACL))

_OVERLAY = b"user.overlay."
_ESCAPED_OVERLAY = b"user.overlay.overlay."
_STORED = b"user.rootless.xattr."
_RESERVED = (b"user.rootless.", b"user.containers.override_stat", b"user.fuseoverlayfs.")
_HIDDEN = (*_RESERVED, _OVERLAY, b"trusted.overlay.", b"trusted.fuseoverlayfs.", b"system.")


def to_disk(name: bytes, *, as_data: bool) -> bytes | None:
    """The name on disk of an attribute that the container names; None if it cannot have such an
    attribute.

    `as_data`: only `user.` attributes can be set on disk, so the others are stored as `user.`
    ones too.
    """
    if name.startswith(_OVERLAY):
        return _ESCAPED_OVERLAY + name[len(_OVERLAY) :]
    if name.startswith(_RESERVED):
        return _STORED + name
    if name.startswith(b"user."):
        return name
    if name.startswith(b"system.") and name not in ACLS:
        return None
    return _STORED + name if as_data else name


def from_disk(name: bytes) -> bytes | None:
    """The name that the container sees for an attribute on disk; None if it is bookkeeping."""
    if name.startswith(_STORED):
        return name[len(_STORED) :]
    if name.startswith(_ESCAPED_OVERLAY):
        return _OVERLAY + name[len(_ESCAPED_OVERLAY) :]
    if name.startswith(_HIDDEN) and name not in ACLS:
        return None
    return name


def with_acl_in_step(xattrs: Mapping[bytes, bytes], mode: int) -> Mapping[bytes, bytes]:
    """The attributes of an object of this mode, which says what its access ACL has to say of owner, mask
    and others: see unionfs.posix_acl."""
    if ACCESS_ACL not in xattrs:
        return xattrs
    from unionfs.posix_acl import encode, parse, with_mode

    acl = parse(xattrs[ACCESS_ACL])
    return xattrs if acl is None else {**xattrs, ACCESS_ACL: encode(with_mode(acl, mode))}
