"""Differences between layers: of an upper to its lowers, as a layer or as values, and of two layers."""
