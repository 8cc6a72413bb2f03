"""A command on the host's own files: what it sees, and what is hidden from it."""
