"""The steps of a stage: each instruction, and how its result is found in the cache."""
