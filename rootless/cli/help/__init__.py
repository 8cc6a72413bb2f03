"""What is made of the command tables for people: help and completion, by typer, and manual pages."""
