"""The grammar of flags' values, by topic: Docker's strings into the values of `rootless.spec.options`,
and Docker's refusals into UsageError. Pure.
"""
