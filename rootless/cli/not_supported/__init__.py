"""Commands and options of docker's, podman's and Apptainer's that are missing: why, and what to use."""
