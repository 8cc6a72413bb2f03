"""`cp`: files into a container and out of it."""
