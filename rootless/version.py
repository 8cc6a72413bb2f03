"""The version of this program: one for the whole distribution, kept where the package that imports no other can read it."""

from unionfs import __version__

__all__ = ["__version__"]
