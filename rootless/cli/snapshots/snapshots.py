"""`snapshot`, `snapshots`, `rollback` and `branch`."""

from __future__ import annotations

from rootless.cli.context import Settings, engine_of
from rootless.cli.grammar import Command, Flag, GrammarError, Parsed

STOP = Flag(("stop",), "Stop a container that runs first")
FORCE = Flag(("force", "f"), "Kill a container that runs first")
REMOVE = Flag(("rm",), "Remove the snapshots with these tags instead")
QUIET = Flag(("quiet", "q"), "Only display tags")


def snapshot(parsed: Parsed, settings: Settings) -> int:
    """Freeze the files of a container, and print the tag."""
    name, *tag = parsed.arguments
    if parsed[REMOVE]:
        if not tag:
            raise GrammarError("--rm needs the tags of the snapshots")
        engine_of(settings).remove_snapshots(name, tag)
        for each in tag:
            print(each)
        return 0
    if len(tag) > 1:
        raise GrammarError("a snapshot has one tag")
    print(engine_of(settings).snapshot(name, *tag).tag)
    return 0


def snapshots(parsed: Parsed, settings: Settings) -> int:
    """List the snapshots of a container, the oldest first."""
    found = engine_of(settings).snapshots(parsed.arguments[0])
    if parsed[QUIET]:
        for each in found:
            print(each.tag)
        return 0
    from rootless.cli.output import since, table

    rows = [[each.tag, since(each.created)] for each in found]
    print(table(["TAG", "CREATED"], rows))
    return 0


def rollback(parsed: Parsed, settings: Settings) -> int:
    """Give a container the files of a snapshot."""
    if parsed[STOP] and parsed[FORCE]:
        raise GrammarError("--stop and --force exclude each other")
    name, tag = parsed.arguments
    engine_of(settings).rollback(name, tag, stop=parsed[STOP], force=parsed[FORCE])
    print(tag)
    return 0


def branch(parsed: Parsed, settings: Settings) -> int:
    """Make a container over a snapshot of another one, and print its name."""
    source, new_name = parsed.arguments
    name, at, tag = source.partition("@")
    if at and not tag:
        raise GrammarError(f"{source} has no tag behind the @")
    print(engine_of(settings).branch(name, new_name, tag).name)
    return 0


SNAPSHOT = Command(
    "snapshot",
    "Freeze the files of a container as they are now",
    "CONTAINER [TAG...]",
    (REMOVE,),
    snapshot,
    least=1,
    operand="container",
    description="""Freeze the writable layer of a container, which may be running, and put an empty one over it.
Nothing is copied: a file is copied when it is next written to. Without TAG it gets the next free number.

What a process wrote before the command began is in the snapshot. An open file stays open; what is written to
it later is not in the snapshot.

With --rm snapshots are removed, also of a container that runs. What the container, its other snapshots or its
branches still have of them stays on the disk.""",
)

SNAPSHOTS = Command(
    "snapshots",
    "List the snapshots of a container",
    "CONTAINER",
    (QUIET,),
    snapshots,
    least=1,
    most=1,
    operand="container",
)

ROLLBACK = Command(
    "rollback",
    "Give a container the files of a snapshot",
    "CONTAINER TAG",
    (STOP, FORCE),
    rollback,
    least=2,
    most=2,
    operand="container",
    description="""What the container has written since the snapshot is lost, unless it is in another snapshot; all
snapshots stay. A container that runs is refused without --stop or --force, and is not started again.""",
)

BRANCH = Command(
    "branch",
    "Make a container over a snapshot of another one",
    "CONTAINER[@TAG] NAME",
    (),
    branch,
    least=2,
    most=2,
    operand="container",
    description="""The new container has the options of CONTAINER and the files of its snapshot TAG; without TAG, of a
snapshot that is taken now. They share what is in the snapshot: nothing is copied. Start it with rootless start.""",
)
