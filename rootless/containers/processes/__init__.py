"""The processes of a running container, as the host's /proc has them: listed, measured, paused."""
