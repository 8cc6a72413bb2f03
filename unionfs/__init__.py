"""A union file system in Python: stacks layers, copies on write, speaks FUSE. It knows nothing of containers."""
