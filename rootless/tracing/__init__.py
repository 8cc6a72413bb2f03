"""Traces of the files that a container uses, as documents and lists."""
