"""From the options of a container to its OCI spec."""
