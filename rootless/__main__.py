"""`python -m rootless` and the `rootless` program."""

# What is imported before a pack is loaded takes 0.2 ms a module: as few as can be, `__future__` included.
import gc
import sys

# What a start imports and makes lives as long as it does. Looking through it for garbage again and
# again costs a sixth of the start; commands other than `run` turn the collector on again.
gc.disable()

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    # What `signal` has under other names, without its enumerations.
    import _signal as signal

_MAY_BE_INTERRUPTED = signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""False where the caller ignores SIGINT."""
if _MAY_BE_INTERRUPTED:
    # Until the command runs, SIGINT ends this process: an exception in the middle of an import would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
_HAS_PACK = not {"run", "exec", "hpc"}.isdisjoint(sys.argv[1:3])  # or `container run`
if _HAS_PACK:
    from rootless import module_packs


def main() -> None:
    """Run the command line and exit with its status."""
    claim, monitor, first = None, None, ""
    if _HAS_PACK:
        first = module_packs.first_of(sys.argv[1:])
        if first == module_packs.AHEAD:
            module_packs.load(module_packs.ADMISSION)
            import os

            from rootless.supervisor.admission import enter

            enter(sys.argv[1:], os.environ)
        if first:
            module_packs.load(first)
        if first == module_packs.RANK:
            from rootless.cli.rank import become_rank

            claim = become_rank(sys.argv[1:])
    from unionfs.light_imports import install

    install("rootless", "unionfs")
    if _HAS_PACK and first == module_packs.AHEAD:
        import os

        from rootless.supervisor.ahead import start_ahead

        monitor = start_ahead(sys.argv[1:], os.environ)
        module_packs.load(module_packs.RUN)
    if _HAS_PACK and first == module_packs.RANK:
        module_packs.load(module_packs.HPC if sys.argv[1] == "hpc" else module_packs.JOIN)
    from rootless.cli.main import main as run_command_line
    from rootless.cli.process import exit_with

    if _MAY_BE_INTERRUPTED:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    status = run_command_line(claim=claim, ahead=monitor)
    if _MAY_BE_INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if monitor is not None:
        monitor.abandon()
    if _HAS_PACK:
        module_packs.write_missing()
    exit_with(status)


if __name__ == "__main__":
    main()
