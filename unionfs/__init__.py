"""A union file system in Python: stacks layers, copies on write, speaks FUSE. It knows nothing of containers."""

__version__ = "0.1.0"
"""The version of the distribution, both packages and both programs; pyproject.toml reads it here."""
