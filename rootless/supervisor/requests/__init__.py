"""Requests of clients that few containers get: each module is loaded with the first one."""
