"""The start of a container from an OCI spec: namespaces, mounts, credentials, exec."""
