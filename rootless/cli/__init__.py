"""The command line: options and operands to values, values to the engine, and what the engine gives to text."""
