"""Layers that are directory trees: `DirectoryLayer` to read, `DirectoryUpper` to write."""

from unionfs.directory.lower import DirectoryLayer
from unionfs.directory.upper import DirectoryUpper

__all__ = ["DirectoryLayer", "DirectoryUpper"]
