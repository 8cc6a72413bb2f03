"""Builds images from Dockerfiles. This package has the effects; `rootless.dockerfile` has the language."""
