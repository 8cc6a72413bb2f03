"""Published ports: the sockets of the host, and the process that passes what comes to them on to the container."""
