"""A monitor or a client that has nothing to do waits in a small program (docs/decisions/1870)."""
