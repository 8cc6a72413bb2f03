"""From options to a container on disk, part by part."""
