"""The files that COPY, ADD and mounts take: build contexts, archives, git repositories, and how they are selected and copied."""
