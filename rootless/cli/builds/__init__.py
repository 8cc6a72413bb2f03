"""Commands that build images, and their options."""
