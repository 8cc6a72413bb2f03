"""A union that notes what is seen of its lowers, and the format of that trace."""
