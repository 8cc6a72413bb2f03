"""Every command as data: what it is called, what it takes, who carries it out, and under which
names it can be typed.
"""

from __future__ import annotations

from rootless.cli.grammar import Command, Kind, Option
from rootless.cli.run_options import RUN_OPTIONS
from unionfs.bases import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

GLOBAL_OPTIONS: tuple[Option, ...] = (
    Option(("debug", "D"), Kind.BOOL, "Say what is done, step by step, and show tracebacks"),
    Option(("root",), Kind.STRING, "Keep images and containers in this directory", "DIR"),
    Option(
        ("runroot",), Kind.STRING, "Keep sockets, locks and mount points in this directory", "DIR"
    ),
    Option(("version", "v"), Kind.BOOL, "Print the version and exit"),
)

_FORMAT = Option(("format", "f"), Kind.STRING, "Print as json", "FORMAT")
_LONG_FORMAT = Option(("format",), Kind.STRING, "Print as json, one object a line", "FORMAT")
_QUIET = Option(("quiet", "q"), Kind.BOOL, "Print only the ids")
_NO_TRUNC = Option(("no-trunc",), Kind.BOOL, "Print ids and texts in full")
_FORCE = Option(("force", "f"), Kind.BOOL, "Do it even if something still uses it")
_PLATFORM = Option(
    ("platform",), Kind.STRING, "The platform to choose where there are several", "OS/ARCH"
)

RUN = Command(
    "run",
    "Run a command in a new container",
    "IMAGE [COMMAND] [ARG...]",
    RUN_OPTIONS,
    "rootless.cli.run:run",
    interspersed=False,
    description="""Run a command in a new container, made from an image or, with --rootfs, from
a directory. The container's changes go to a layer of its own; neither the image nor the directory
is touched.

The exit status is the command's own: 128+n when signal n ended it, 127 when it was not found,
126 when it could not be executed, and 125 when the container could not be made.""",
)
IMAGES = Command(
    "images",
    "List images",
    "[REPOSITORY[:TAG]]",
    (
        Option(("all", "a"), Kind.BOOL, "Show images without a name too"),
        Option(("digests",), Kind.BOOL, "Show digests"),
        Option(
            ("filter",),
            Kind.LIST,
            "Show those that match: reference=, label=, before=, since=, dangling=",
            "KEY=VALUE",
        ),
        _LONG_FORMAT,
        _NO_TRUNC,
        _QUIET,
    ),
    "rootless.cli.image_lists:images",
    most=1,
)
RMI = Command(
    "rmi",
    "Remove images",
    "IMAGE [IMAGE...]",
    (_FORCE, Option(("no-prune",), Kind.BOOL, "Keep layers that nothing names any more")),
    "rootless.cli.image_changes:rmi",
    least=1,
)
IMAGE_INSPECT = Command(
    "inspect",
    "Show everything known about images",
    "IMAGE [IMAGE...]",
    (_FORMAT,),
    "rootless.cli.image_lists:inspect",
    least=1,
)
INSPECT = Command(
    "inspect",
    "Show everything known about containers or images",
    "NAME|ID [NAME|ID...]",
    (
        _FORMAT,
        Option(("type",), Kind.STRING, "Look only among: container, image", "TYPE"),
    ),
    "rootless.cli.inspect:inspect",
    least=1,
)
HISTORY = Command(
    "history",
    "Show how an image came to be",
    "IMAGE",
    (_LONG_FORMAT, _NO_TRUNC, _QUIET),
    "rootless.cli.image_lists:history",
    least=1,
    most=1,
)
LOAD = Command(
    "load",
    "Load images from an archive",
    "",
    (
        Option(
            ("input", "i"),
            Kind.STRING,
            "Read this archive or OCI layout directory, not standard input",
            "PATH",
        ),
        Option(("quiet", "q"), Kind.BOOL, "Do not show progress"),
        _PLATFORM,
    ),
    "rootless.cli.image_changes:load",
    most=0,
    description="""Load images from an archive that docker save, podman save or skopeo wrote
(docker-archive or oci-archive, plain or compressed with gzip or zstd), or from an OCI layout directory.""",
)
SAVE = Command(
    "save",
    "Save images to an archive",
    "IMAGE [IMAGE...]",
    (
        Option(("output", "o"), Kind.STRING, "Write to this file, not to standard output", "FILE"),
        Option(
            ("format",),
            Kind.STRING,
            "docker-archive, oci-archive or oci-dir",
            "FORMAT",
            default="docker-archive",
        ),
    ),
    "rootless.cli.image_changes:save",
    least=1,
)
IMPORT = Command(
    "import",
    "Make an image of a root file system archive",
    "FILE|- [REPOSITORY[:TAG]]",
    (
        Option(
            ("change", "c"), Kind.LIST, "Apply a Dockerfile instruction to the image", "INSTRUCTION"
        ),
        Option(("message", "m"), Kind.STRING, "Set the message in the image's history", "TEXT"),
        _PLATFORM,
    ),
    "rootless.cli.image_changes:import_image",
    least=1,
    most=2,
)
TAG = Command(
    "tag",
    "Give an image another name",
    "IMAGE NAME[:TAG]",
    (),
    "rootless.cli.image_changes:tag",
    least=2,
    most=2,
)
PS = Command(
    "ps",
    "List containers",
    "",
    (
        Option(("all", "a"), Kind.BOOL, "Show those that have ended too"),
        _LONG_FORMAT,
        _NO_TRUNC,
        _QUIET,
    ),
    "rootless.cli.containers:ps",
    most=0,
)
RM = Command(
    "rm",
    "Remove containers",
    "CONTAINER [CONTAINER...]",
    (Option(("force", "f"), Kind.BOOL, "Kill the container if it runs"),),
    "rootless.cli.containers:rm",
    least=1,
)
CONTAINER_INSPECT = Command(
    "inspect",
    "Show everything known about containers",
    "CONTAINER [CONTAINER...]",
    (_FORMAT,),
    "rootless.cli.inspect:inspect_containers",
    least=1,
)
INFO = Command(
    "info",
    "Show what this engine is and stands on",
    "",
    (_FORMAT,),
    "rootless.cli.system:info",
    most=0,
)
VERSION = Command("version", "Show versions", "", (_FORMAT,), "rootless.cli.system:version", most=0)
DOCTOR = Command(
    "doctor",
    "Try what containers need of this machine and say what is missing",
    "",
    (Option(("format",), Kind.STRING, "Print as json", "FORMAT"),),
    "rootless.cli.system:doctor",
    most=0,
    description="""Try everything that containers need of this machine: what works, what does
not, why it matters and what would enable it. The exit status is 1 when no container can run.""",
)


class Group(NamedTuple):
    """A command that only has commands, by every name that each can be called by."""

    summary: str
    commands: Mapping[str, Command]


_IMAGE: Mapping[str, Command] = {
    "ls": IMAGES,
    "list": IMAGES,
    "rm": RMI,
    "remove": RMI,
    "inspect": IMAGE_INSPECT,
    "history": HISTORY,
    "load": LOAD,
    "save": SAVE,
    "import": IMPORT,
    "tag": TAG,
}
_CONTAINER: Mapping[str, Command] = {
    "run": RUN,
    "ls": PS,
    "list": PS,
    "ps": PS,
    "rm": RM,
    "remove": RM,
    "inspect": CONTAINER_INSPECT,
}
COMMANDS: Mapping[str, Command | Group] = {
    "run": RUN,
    "ps": PS,
    "rm": RM,
    "images": IMAGES,
    "rmi": RMI,
    "load": LOAD,
    "save": SAVE,
    "import": IMPORT,
    "tag": TAG,
    "history": HISTORY,
    "inspect": INSPECT,
    "info": INFO,
    "version": VERSION,
    "doctor": DOCTOR,
    "container": Group("Commands for containers", _CONTAINER),
    "image": Group("Commands for images", _IMAGE),
    "system": Group("Commands for the engine", {"info": INFO, "doctor": DOCTOR}),
}
