"""DNS for the networks that a user has defined: names of containers, and the host's name servers for everything else."""
