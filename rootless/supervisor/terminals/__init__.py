"""The terminal of a client and of a container, and what is copied between them."""
