"""The file system of a container: its lower layers, its union, and access to it from outside."""
