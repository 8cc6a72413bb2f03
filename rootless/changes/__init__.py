"""The changes of a container or of a tried command, as values, documents and patches."""
