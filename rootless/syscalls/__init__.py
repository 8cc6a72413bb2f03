"""System calls that the standard library does not have, each with its man page or kernel header."""
