"""Moves images between registries, archives and the store."""
