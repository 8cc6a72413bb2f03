"""Speaking to registries: the OCI distribution specification 1.1 and what Docker's tools do around it."""
