"""The drivers of private networks, and which of them connects a container."""
