"""The commands about containers that exist, one module each."""
