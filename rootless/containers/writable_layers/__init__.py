"""The writable layers of containers: where they are, and their usage."""
