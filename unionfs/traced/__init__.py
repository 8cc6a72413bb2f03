"""A union that records accesses to its lowers, and the format of that trace."""
