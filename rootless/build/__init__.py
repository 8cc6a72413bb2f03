"""Builds images from Dockerfiles: the effects. What a Dockerfile means is in rootless.dockerfile."""
