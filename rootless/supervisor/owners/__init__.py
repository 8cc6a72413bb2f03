"""Records owners: passes chown(2) of a container with one id from its seccomp filter to the union, which keeps the
owner (docs/decisions/1840).
"""
