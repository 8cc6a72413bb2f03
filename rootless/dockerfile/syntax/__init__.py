"""The text of a Dockerfile and its instructions: words, statements, and the parser."""
