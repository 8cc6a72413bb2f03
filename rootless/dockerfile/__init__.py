"""The Dockerfile language: lines, words, instructions, and their effect on an image's config."""
