"""The command `trace`, and the options of `run`, `create` and `try` about traces."""
