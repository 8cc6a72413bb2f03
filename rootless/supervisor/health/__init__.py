"""The health checks of a container: their schedule, and their execution."""
