"""Published ports: the sockets of the host, and the process that forwards to the container."""
