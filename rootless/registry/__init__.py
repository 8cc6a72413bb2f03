"""Client of registries: the OCI distribution specification 1.1, with the behaviour of Docker's tools."""
