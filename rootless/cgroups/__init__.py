"""Resource limits: cgroup v2 files in a control group that the user may write.

    flags       Docker's flags            -> OCI `linux.resources`     pure
    resources   OCI `linux.resources`     -> lines for cgroup files    pure
    hierarchy   /proc/self texts          -> where we are, what we own pure
    delegation  a subtree to put containers in: asked of systemd, or owned already
    control_group  one container's control group: limits, kill, freeze, removal
    stats       what a control group has used

Version 2 only (cgroups(7), Documentation/admin-guide/cgroup-v2.rst).
"""
