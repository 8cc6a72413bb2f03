"""Networks that a user has defined: their records, and how one is made."""
