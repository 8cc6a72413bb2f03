"""What connects a run of a container to networks."""
