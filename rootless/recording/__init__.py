"""What was typed into the shell of a container, and the Dockerfile that does the same."""
