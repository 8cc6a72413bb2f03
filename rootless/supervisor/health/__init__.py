"""The health checks of a container: when each is due, and one that runs."""
