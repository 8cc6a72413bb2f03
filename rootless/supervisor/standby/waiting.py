"""The program of a monitor that stands by: it waits for the descriptors, and executes the monitor's program again. It is
executed by its path, imports nothing of this project, and nothing but modules that are in the interpreter.

    waiting.py STATE NAME DESCRIPTOR:EVENTS...

STATE is the descriptor of what the monitor knew, NAME that of the process.
"""

import posix
import select
import sys

RESUME = '''
import gc, marshal, posix, sys
from _frozen_importlib import ModuleSpec
gc.disable()
state = int(sys.argv[1])
codes, packs, sys.path[:], terminated, pickled = marshal.loads(posix.pread(state, posix.fstat(state).st_size, 0))

class Finder:
    """Of the modules that the monitor had: those that are installed may be of another release by now."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name not in codes:
            return None
        source, is_package, _ = codes[name]
        spec = ModuleSpec(name, cls, origin=source, is_package=is_package)
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [source.rpartition("/")[0]]
        return spec

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        exec(codes[module.__name__][2], module.__dict__)

sys.meta_path.insert(0, Finder)
from rootless import module_packs
for each in packs:
    module_packs.load_pack("/proc/self/fd/%d" % each, is_checked=False)
    posix.close(each)
from unionfs.light_imports import install
install("rootless", "unionfs")
from rootless.supervisor.standby.resuming import resume
resume(state, sys.argv[2], terminated, pickled)
'''
"""What follows: `rootless.supervisor.standby.resuming` with the modules that the monitor had."""
_AGAIN = 1000
"""Milliseconds until the next attempt where the kernel could not execute a program."""


def _main() -> None:
    state, name, *waits = sys.argv[1:]
    with open("/proc/self/comm", "w") as file:
        file.write(name)
    poll = select.poll()
    for each in waits:
        descriptor, _, events = each.partition(":")
        poll.register(int(descriptor), int(events))
    poll.poll()
    argv = [sys.executable, "-I", "-S", "-c", RESUME, state, name]
    while True:
        try:
            posix.execve(sys.executable, argv, posix.environ)
        except OSError:
            select.poll().poll(_AGAIN)


if __name__ == "__main__":
    _main()
