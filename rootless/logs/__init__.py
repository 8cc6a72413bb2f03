"""What a container wrote: the formats of the log drivers, rotation, and the reader."""
