"""A union whose upper holds no more than a quota."""
