"""Layers in tar archives, read in place by an index."""
