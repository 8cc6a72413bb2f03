"""The files of each container on disk."""
