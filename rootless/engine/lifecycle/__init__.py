"""From created to removed: what is done to one container through its monitor."""
