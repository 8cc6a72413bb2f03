"""Container Device Interface, versions 0.3 to 1.0 of its specification: which files describe a device, and what they
change of the OCI runtime spec of a container that is given it."""
