"""The logs of containers: formats of the log drivers, rotation, and the reader."""
