"""Writes what a container has changed to the host's files, file by file, and takes that back."""
