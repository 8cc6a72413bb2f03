"""`run`, `create` and `update`: their options and the values of these."""
