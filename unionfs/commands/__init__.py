"""The commands of rootless-unionfs: mount, serve, and requests to a mount."""
