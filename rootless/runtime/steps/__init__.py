"""The steps of a start: each is a value that describes itself and performs itself.

`rootless.runtime.plan` puts them in order, the child performs them between clone and exec with the
standard library and system calls only. A new step is one class in one of these modules, and its
place in the plan.

They are named tuples rather than dataclasses, because defining two dozen dataclasses costs a start
ten times as much (measured: 0.09 ms against 1.1 ms each on a busy machine). Two steps without
fields compare equal: compare the types too.
"""
