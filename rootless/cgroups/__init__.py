"""Resource limits: cgroup v2 files in a control group that the user may write.

    resources      OCI `linux.resources` -> lines for cgroup files. Pure
    hierarchy      where this process is in the tree, and what of it the user may write
    delegation     a subtree to put containers in: asked of systemd, or owned already
    control_group  one container's control group: limits, kill, freeze, removal
    membership     the control groups that a process of a container belongs in
    stats          what a control group has used

Version 2 only (cgroups(7), Documentation/admin-guide/cgroup-v2.rst).
"""
