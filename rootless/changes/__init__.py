"""What a container or a tried command has changed, as values, documents and patches."""
