"""The files of an image without a container."""
