"""The networks that a user defines: commands, connections, and their part of the Python API."""
