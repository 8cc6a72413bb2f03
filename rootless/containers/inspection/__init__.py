"""Docker's document of a container, as `inspect` shows it."""
