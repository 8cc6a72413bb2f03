"""Rare requests of clients: each module is loaded with the first such request."""
