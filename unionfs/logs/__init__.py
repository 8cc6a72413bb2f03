"""Append-only logs in the work directory of an upper, and how their records are framed."""
