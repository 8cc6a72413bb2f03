"""Connects a run of a container to its networks."""
