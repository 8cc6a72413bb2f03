"""The commands about volumes, and their files as archives."""
