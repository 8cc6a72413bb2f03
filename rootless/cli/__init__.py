"""The command line: turns options and operands into values for the engine, and results of the engine into text."""
