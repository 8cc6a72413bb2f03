"""Run, build and ship OCI containers as an ordinary user: no daemon, no root."""

__version__ = "0.1.0"
