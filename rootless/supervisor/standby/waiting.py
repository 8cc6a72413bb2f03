"""The program of a process that stands by: it waits for the descriptors, and executes what the process was again. Its code
comes from the file of what the monitor knew, and it imports nothing of this project, nothing but modules that are in the
interpreter.

    standby STATE NAME DESCRIPTOR:EVENTS... -- COMMAND...
    resumed STATE NAME -- COMMAND...

STATE is the descriptor of that file, NAME the name of the process, COMMAND the command line by which users find it. The second
line is that of the program which it executes: RESUME.
"""

import posix
import select
import sys

_EXECUTE = (
    "import marshal, sys; state = open(int(sys.argv[2]), 'rb', closefd=False); state.seek(0); "
)
STAND_BY = f"{_EXECUTE}exec(marshal.load(state))"
"""Executes this program, with whose code the file begins."""
_RESUME = f"{_EXECUTE}marshal.load(state); exec(marshal.load(state))"
"""Executes RESUME, whose code comes second: users see the command line of the process."""
RESUME = '''
import gc
from _frozen_importlib import ModuleSpec
gc.disable()
packs, packed, codes, sys.path[:], opened, pickled = marshal.load(state)
state.close()

class Finder:
    """Of the modules that the process had: those that are installed may be of another release by now."""

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
from unionfs.light_imports import install
install("rootless", "unionfs")
from rootless.supervisor.standby.resuming import resume
resume(sys.argv[3], (packs, packed, codes), opened, pickled)
'''
"""What follows: `rootless.supervisor.standby.resuming` with the modules that the process had. `state` is the file, at its third
part."""
COMMAND = "--"
INTERPRETER = "/proc/self/exe"
"""The one that runs, which may have been removed from its directory (proc_pid_exe(5))."""
NAME = "standby"
_AGAIN = 1000
"""Milliseconds until the next attempt where the kernel could not execute a program."""


def resumed(state: object, name: str) -> list[str]:
    """The arguments of the program that is executed next, before those of COMMAND."""
    return [sys.executable, "-I", "-S", "-c", _RESUME, "resumed", str(state), name]


def _main() -> None:
    state, name, *words = sys.argv[2:]
    end = words.index(COMMAND)
    with open("/proc/self/comm", "w") as file:
        file.write(name)
    poll = select.poll()
    for each in words[:end]:
        descriptor, _, events = each.partition(":")
        poll.register(int(descriptor), int(events))
    poll.poll()
    argv = [*resumed(state, name), *words[end:]]
    while True:
        try:
            posix.execve(INTERPRETER, argv, posix.environ)
        except OSError:
            select.poll().poll(_AGAIN)


if __name__ == "__main__":
    _main()
