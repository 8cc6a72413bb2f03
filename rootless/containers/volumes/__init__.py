"""Volumes, as containers use them."""
