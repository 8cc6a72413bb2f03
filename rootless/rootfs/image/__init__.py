"""What is made of an image's files without a container."""
