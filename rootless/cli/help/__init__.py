"""Help and completion, by typer, and manual pages: all made from the command tables."""
