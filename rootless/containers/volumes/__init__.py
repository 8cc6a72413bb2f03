"""The use of volumes by containers."""
