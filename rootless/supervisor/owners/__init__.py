"""chown(2) of a container with a single id: from the notification of its seccomp filter to the union, which keeps the
owner (docs/decisions/1840)."""
