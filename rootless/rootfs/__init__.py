"""The file system of a container: its lower layers, its union, and reading and writing in it from outside."""
