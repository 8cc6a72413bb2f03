"""The grammar of flags' values, by topic: parses Docker's strings into the values of `rootless.spec.options`, and
raises UsageError where Docker refuses. Pure.
"""
