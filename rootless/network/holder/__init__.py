"""The process that holds the networks of a user while containers are in them: one network namespace with a bridge for each
network, one way out for all, and a process that answers DNS.
"""
