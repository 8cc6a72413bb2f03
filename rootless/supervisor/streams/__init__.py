"""The output of a container: to its log and to the attached clients."""
