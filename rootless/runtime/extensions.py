"""What the runtime reads of a spec beyond the OCI runtime specification: annotations, and the
default search path. Pure."""

from __future__ import annotations

USER = "io.rootless.user"
"""`name|uid[:group|gid]`; names are looked up in the container's own /etc/passwd and /etc/group,
once its root is mounted. In its absence process.user counts."""
USER_REQUIRED = "io.rootless.user-required"
"""`true`: it is an error if the id map does not have the user. Otherwise a container with a single
id runs as that id, whatever the user is."""
GROUPS = "io.rootless.groups"
"""Names and ids of additional groups, comma-separated; looked up as the user is."""
USER_ENTRY = "io.rootless.user-entry"
GROUP_ENTRY = "io.rootless.group-entry"
"""Lines of passwd(5) and group(5) that the container's files are given, where these are the image's and
have neither the name nor the number."""
INIT = "io.rootless.init"
"""`true`: process 1 is an init that starts the command, forwards signals and reaps."""
PRETEND_OWNERSHIP = "io.rootless.pretend-ownership"
"""`true`: chown, set*id and mknod of devices succeed without effect. For a container with a single
id, where they could only fail."""

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of a process whose environment has none."""
