"""Applies the changes of a container to the host's files, file by file, and undoes that."""
