"""The programs of the union: mount, serve, and what is asked of a mount."""
