"""The lifecycle of one container, from created to removed, through its monitor."""
