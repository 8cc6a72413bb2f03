"""The grammar of run's flags, by topic: Docker's strings into typed values, Docker's refusals into
UsageError. Pure."""
