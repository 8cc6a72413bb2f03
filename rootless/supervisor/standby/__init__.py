"""Standby: an idle monitor or client waits in a small program (docs/decisions/1870)."""
