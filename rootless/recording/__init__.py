"""Records commands typed into the shell of a container, and writes a Dockerfile that does the same."""
