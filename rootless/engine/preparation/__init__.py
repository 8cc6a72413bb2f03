"""Prepares a container: from options to its files on disk, part by part."""
