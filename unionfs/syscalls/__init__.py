"""System calls that the standard library does not wrap: one function each, named and shaped as in its man page."""
