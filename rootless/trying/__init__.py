"""A command on the host's own files: the container it runs in, and the paths that are hidden from it."""
