"""Values of the OCI specifications: descriptors, digests, manifests, platforms, references."""
