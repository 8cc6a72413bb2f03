"""Volumes: directories that outlive the containers that write them.

STORE/volumes/NAME holds volume.json, `_data` with the files, and `work`, which the file server needs. All
of it belongs to the caller: owners of files are attributes, as in a container's writable layer.
"""
