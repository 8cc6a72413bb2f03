"""The terminals of a client and of a container, and the relay between them."""
