"""What is known of each container on disk."""
