"""Container Device Interface, versions 0.3 to 1.0 of its specification: finds the specification of a device, and
applies its edits to the OCI runtime spec of a container.
"""
