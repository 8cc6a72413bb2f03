"""The Dockerfile language: its lines, its words, and what its instructions do to an image's config."""
