"""Frozen states of a container's writable layer: the record of a container, and the layers, which containers share."""

SNAPSHOTS = "snapshots.json"
"""The record in a container's directory; without it there has never been a snapshot."""
