"""The commands `try`, `changes`, `apply` and `drop`."""
