"""Commands and options of Docker, Podman and Apptainer that are not supported: the reason, and an alternative."""
