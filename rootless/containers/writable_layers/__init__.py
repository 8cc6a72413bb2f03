"""Where the writable layers of containers are, and what they hold."""
