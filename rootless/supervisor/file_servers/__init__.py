"""The processes that serve root file systems and volumes, and how the monitor starts and replaces them."""
