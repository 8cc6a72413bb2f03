"""The commands about volumes."""
