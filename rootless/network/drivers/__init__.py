"""The drivers of private networks, and the choice of one for a container."""
