"""The index of commands: every command by its names, with the module of its table.

Tables stand beside their handlers. Only the module of the command that was typed is imported, because
each costs the start something; help and completion import them all.
"""

from __future__ import annotations

from rootless.cli.grammar import Command, Flag, Option, Text
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEBUG = Flag(("debug", "D"), "Enable debug mode: print each step of a start, and tracebacks")
ROOT = Text(("root",), "Directory of images and containers", "DIR")
RUNROOT = Text(("runroot",), "Directory of sockets, locks and mount points", "DIR")
STORAGE_DRIVER = Text(
    ("storage-driver",),
    "Storage driver of new containers: unionfs (default) or overlay (kernel overlayfs)",
    "DRIVER",
    choices=("unionfs", "overlay"),
)
OUT = Text(("out",), "Write standard output to a file", "FILE")
NOOUT = Flag(("noout",), "Discard standard output")
VERSION = Flag(("version", "v"), "Print version information and quit")
GLOBAL_OPTIONS: tuple[Option, ...] = (DEBUG, ROOT, RUNROOT, STORAGE_DRIVER, OUT, NOOUT, VERSION)


class Group(NamedTuple):
    """A command that only has commands: `module:TABLE` by every name that each can be called by."""

    summary: str
    commands: Mapping[str, str]


_ATTACH = "rootless.cli.containers.attach:ATTACH"
_BUILD = "rootless.cli.builds.build:BUILD"
_CHANGES = "rootless.cli.changes.changes:CHANGES"
_COMMIT = "rootless.cli.containers.commit:COMMIT"
_CREATE = "rootless.cli.run.create:CREATE"
_COW = "rootless.cli.containers.cow:COW"
_CP = "rootless.cli.containers.cp:CP"
_DIFF = "rootless.cli.containers.diff:DIFF"
_EVENTS = "rootless.cli.events:EVENTS"
_EXEC = "rootless.cli.containers.exec:EXEC"
_EXPORT = "rootless.cli.containers.export:EXPORT"
_KILL = "rootless.cli.containers.stop:KILL"
_PAUSE = "rootless.cli.containers.pause:PAUSE"
_LOGS = "rootless.cli.containers.logs:LOGS"
_PS = "rootless.cli.containers.listing:PS"
_PORT = "rootless.cli.containers.port:PORT"
_RENAME = "rootless.cli.containers.rename:RENAME"
_RESTART = "rootless.cli.containers.stop:RESTART"
_RM = "rootless.cli.containers.remove:RM"
_RUN = "rootless.cli.run.command:RUN"
_BRANCH = "rootless.cli.snapshots.snapshots:BRANCH"
_ROLLBACK = "rootless.cli.snapshots.snapshots:ROLLBACK"
_SNAPSHOT = "rootless.cli.snapshots.snapshots:SNAPSHOT"
_SNAPSHOTS = "rootless.cli.snapshots.snapshots:SNAPSHOTS"
_START = "rootless.cli.containers.start:START"
_STOP = "rootless.cli.containers.stop:STOP"
_TRACE = "rootless.cli.tracing.trace:TRACE"
_TRY = "rootless.cli.changes.try_command:TRY"
_APPLY = "rootless.cli.changes.apply:APPLY"
_DROP = "rootless.cli.changes.drop:DROP"
_UNPAUSE = "rootless.cli.containers.pause:UNPAUSE"
_UPDATE = "rootless.cli.run.update:UPDATE"
_WAIT = "rootless.cli.containers.wait:WAIT"
_STATS = "rootless.cli.containers.stats:STATS"
_TOP = "rootless.cli.containers.top:TOP"
_HISTORY = "rootless.cli.images.history:HISTORY"
_IMAGES = "rootless.cli.images.listing:IMAGES"
_IMPORT = "rootless.cli.images.import_rootfs:IMPORT"
_LOAD = "rootless.cli.images.load:LOAD"
_RMI = "rootless.cli.images.remove:RMI"
_SAVE = "rootless.cli.images.save:SAVE"
_TAG = "rootless.cli.images.tag:TAG"
_UNTAG = "rootless.cli.images.tag:UNTAG"
_COPY = "rootless.cli.registries:COPY"
_PULL = "rootless.cli.registries:PULL"
_PUSH = "rootless.cli.registries:PUSH"
_INFO = "rootless.cli.system.info:INFO"

COMMANDS: Mapping[str, str | Group] = {
    "run": _RUN,
    "try": _TRY,
    "create": _CREATE,
    "start": _START,
    "stop": _STOP,
    "restart": _RESTART,
    "kill": _KILL,
    "wait": _WAIT,
    "pause": _PAUSE,
    "unpause": _UNPAUSE,
    "update": _UPDATE,
    "exec": _EXEC,
    "ps": _PS,
    "top": _TOP,
    "stats": _STATS,
    "logs": _LOGS,
    "attach": _ATTACH,
    "rm": _RM,
    "build": _BUILD,
    "images": _IMAGES,
    "rmi": _RMI,
    "load": _LOAD,
    "save": _SAVE,
    "import": _IMPORT,
    "tag": _TAG,
    "untag": _UNTAG,
    "pull": _PULL,
    "push": _PUSH,
    "login": "rootless.cli.registries:LOGIN",
    "logout": "rootless.cli.registries:LOGOUT",
    "search-tags": "rootless.cli.registries:SEARCH_TAGS",
    "history": _HISTORY,
    "commit": _COMMIT,
    "cp": _CP,
    "diff": _DIFF,
    "changes": _CHANGES,
    "apply": _APPLY,
    "drop": _DROP,
    "trace": _TRACE,
    "snapshot": _SNAPSHOT,
    "snapshots": _SNAPSHOTS,
    "rollback": _ROLLBACK,
    "branch": _BRANCH,
    "export": _EXPORT,
    "port": _PORT,
    "rename": _RENAME,
    "inspect": "rootless.cli.inspect:INSPECT",
    "cow": _COW,
    "events": _EVENTS,
    "info": _INFO,
    "version": "rootless.cli.system.info:VERSION",
    "doctor": "rootless.cli.system.info:DOCTOR",
    "copy": _COPY,
    "builder": Group(
        "Manage builds",
        {
            "build": _BUILD,
            "du": "rootless.cli.builds.builder:BUILDER_DU",
            "prune": "rootless.cli.builds.builder:BUILDER_PRUNE",
        },
    ),
    "buildx": Group(
        "Build images (buildx of docker)",
        {
            "build": _BUILD,
            "b": _BUILD,
            "du": "rootless.cli.builds.builder:BUILDER_DU",
            "prune": "rootless.cli.builds.builder:BUILDER_PRUNE",
        },
    ),
    "container": Group(
        "Manage containers",
        {
            "run": _RUN,
            "create": _CREATE,
            "start": _START,
            "stop": _STOP,
            "restart": _RESTART,
            "kill": _KILL,
            "wait": _WAIT,
            "pause": _PAUSE,
            "unpause": _UNPAUSE,
            "update": _UPDATE,
            "exec": _EXEC,
            "ls": _PS,
            "list": _PS,
            "ps": _PS,
            "top": _TOP,
            "stats": _STATS,
            "logs": _LOGS,
            "attach": _ATTACH,
            "rm": _RM,
            "remove": _RM,
            "inspect": "rootless.cli.inspect:CONTAINER_INSPECT",
            "exists": "rootless.cli.exists:CONTAINER_EXISTS",
            "commit": _COMMIT,
            "cp": _CP,
            "diff": _DIFF,
            "changes": _CHANGES,
            "trace": _TRACE,
            "snapshot": _SNAPSHOT,
            "snapshots": _SNAPSHOTS,
            "rollback": _ROLLBACK,
            "branch": _BRANCH,
            "export": _EXPORT,
            "port": _PORT,
            "rename": _RENAME,
            "prune": "rootless.cli.containers.prune:CONTAINER_PRUNE",
            "cow": _COW,
        },
    ),
    "healthcheck": Group(
        "Manage health checks", {"run": "rootless.cli.containers.healthcheck:HEALTHCHECK_RUN"}
    ),
    "hpc": Group(
        "Run images as users of clusters do",
        {
            "run": "rootless.cli.hpc.run:RUN",
            "exec": "rootless.cli.hpc.run:EXEC",
            "shell": "rootless.cli.hpc.run:SHELL",
            "pull": "rootless.cli.hpc.pull:PULL",
            "build": "rootless.cli.hpc.pull:BUILD",
            "inspect": "rootless.cli.hpc.inspect:INSPECT",
            "test": "rootless.cli.hpc.run:TEST",
            "run-help": "rootless.cli.hpc.inspect:RUN_HELP",
            "overlay": "rootless.cli.hpc.overlay:OVERLAY",
        },
    ),
    "manifest": Group(
        "Manage image manifests and manifest lists",
        {
            "create": "rootless.cli.manifest:MANIFEST_CREATE",
            "annotate": "rootless.cli.manifest:MANIFEST_ANNOTATE",
            "push": "rootless.cli.manifest:MANIFEST_PUSH",
            "inspect": "rootless.cli.manifest:MANIFEST_INSPECT",
            "rm": "rootless.cli.manifest:MANIFEST_RM",
        },
    ),
    "image": Group(
        "Manage images",
        {
            "build": _BUILD,
            "ls": _IMAGES,
            "list": _IMAGES,
            "rm": _RMI,
            "remove": _RMI,
            "load": _LOAD,
            "save": _SAVE,
            "import": _IMPORT,
            "tag": _TAG,
            "untag": _UNTAG,
            "history": _HISTORY,
            "inspect": "rootless.cli.inspect:IMAGE_INSPECT",
            "exists": "rootless.cli.exists:IMAGE_EXISTS",
            "diff": "rootless.cli.images.diff:IMAGE_DIFF",
            "mount": "rootless.cli.images.mount:IMAGE_MOUNT",
            "unmount": "rootless.cli.images.mount:IMAGE_UNMOUNT",
            "prune": "rootless.cli.images.prune:IMAGE_PRUNE",
            "slim": "rootless.cli.images.slim:IMAGE_SLIM",
            "unpack": "rootless.cli.images.unpack:IMAGE_UNPACK",
            "verify": "rootless.cli.images.verify:IMAGE_VERIFY",
            "pull": _PULL,
            "push": _PUSH,
        },
    ),
    "volume": Group(
        "Manage volumes",
        {
            "create": "rootless.cli.volumes.create:VOLUME_CREATE",
            "ls": "rootless.cli.volumes.listing:VOLUME_LS",
            "list": "rootless.cli.volumes.listing:VOLUME_LS",
            "inspect": "rootless.cli.inspect:VOLUME_INSPECT",
            "exists": "rootless.cli.exists:VOLUME_EXISTS",
            "export": "rootless.cli.volumes.archives:VOLUME_EXPORT",
            "import": "rootless.cli.volumes.archives:VOLUME_IMPORT",
            "rm": "rootless.cli.volumes.remove:VOLUME_RM",
            "remove": "rootless.cli.volumes.remove:VOLUME_RM",
            "prune": "rootless.cli.volumes.remove:VOLUME_PRUNE",
        },
    ),
    "network": Group(
        "Manage networks",
        {
            "create": "rootless.cli.networks.create:NETWORK_CREATE",
            "ls": "rootless.cli.networks.listing:NETWORK_LS",
            "list": "rootless.cli.networks.listing:NETWORK_LS",
            "inspect": "rootless.cli.inspect:NETWORK_INSPECT",
            "exists": "rootless.cli.exists:NETWORK_EXISTS",
            "connect": "rootless.cli.networks.connections:NETWORK_CONNECT",
            "disconnect": "rootless.cli.networks.connections:NETWORK_DISCONNECT",
            "rm": "rootless.cli.networks.remove:NETWORK_RM",
            "remove": "rootless.cli.networks.remove:NETWORK_RM",
            "prune": "rootless.cli.networks.remove:NETWORK_PRUNE",
        },
    ),
    "system": Group(
        "Manage the engine",
        {
            "info": _INFO,
            "events": _EVENTS,
            "df": "rootless.cli.system.df:SYSTEM_DF",
            "prune": "rootless.cli.system.prune:SYSTEM_PRUNE",
            "check": "rootless.cli.system.check:SYSTEM_CHECK",
            "upgrade-servers": "rootless.cli.system.upgrade_servers:SYSTEM_UPGRADE_SERVERS",
            "doctor": "rootless.cli.system.info:DOCTOR",
            "boot-unit": "rootless.cli.system.boot:BOOT_UNIT",
            "boot-start": "rootless.cli.system.boot:BOOT_START",
            "boot-stop": "rootless.cli.system.boot:BOOT_STOP",
        },
    ),
}


def load_command(place: str) -> Command:
    """The table at `module:NAME`; importing it is most of what a command costs."""
    module, _, name = place.partition(":")
    # importlib.import_module, without the package that it is in.
    command: Command = getattr(__import__(module, fromlist=(name,)), name)
    return command


def every_command() -> Iterator[tuple[str, Command]]:
    """Each command with every path that it is called by, such as `image prune`."""
    for name, entry in COMMANDS.items():
        if isinstance(entry, Group):
            for inner, place in entry.commands.items():
                yield f"{name} {inner}", load_command(place)
        else:
            yield name, load_command(entry)
