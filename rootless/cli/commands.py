"""Every command as data: what it is called, what it takes, who carries it out, and under which
names it can be typed.
"""

from __future__ import annotations

from rootless.cli import upkeep_commands as upkeep
from rootless.cli.grammar import Command, Kind, Option
from rootless.cli.run_options import RUN_OPTIONS
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

GLOBAL_OPTIONS: tuple[Option, ...] = (
    Option(("debug", "D"), Kind.BOOL, "Say what is done, step by step, and show tracebacks"),
    Option(("root",), Kind.STRING, "Keep images and containers in this directory", "DIR"),
    Option(
        ("runroot",), Kind.STRING, "Keep sockets, locks and mount points in this directory", "DIR"
    ),
    Option(
        ("storage-driver",),
        Kind.STRING,
        "What stacks the layers of new containers: unionfs, or overlay for the kernel's",
        "NAME",
    ),
    Option(("version", "v"), Kind.BOOL, "Print the version and exit"),
)

_FORMAT = Option(("format", "f"), Kind.STRING, "Print as json, or by a Go template", "FORMAT")
_LONG_FORMAT = Option(
    ("format",), Kind.STRING, "Print as json, by a Go template, or as table TEMPLATE", "FORMAT"
)
_SIZE = Option(("size", "s"), Kind.BOOL, "Show what containers take on disk")
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
            ("filter", "f"),
            Kind.LIST,
            "Show those that match: reference=, label=, before=, since=, until=, dangling=",
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
    (_FORMAT, _PLATFORM),
    "rootless.cli.inspect:inspect_images",
    least=1,
)
INSPECT = Command(
    "inspect",
    "Show everything known about containers or images",
    "NAME|ID [NAME|ID...]",
    (
        _FORMAT,
        _SIZE,
        Option(("type",), Kind.STRING, "Look only among: container, image", "TYPE"),
    ),
    "rootless.cli.inspect:inspect",
    least=1,
)
HISTORY = Command(
    "history",
    "Show how an image came to be",
    "IMAGE",
    (
        _LONG_FORMAT,
        Option(
            ("human", "H"),
            Kind.BOOL,
            "Sizes and times for people; --human=false: bytes and dates",
            default=True,
        ),
        _NO_TRUNC,
        _PLATFORM,
        _QUIET,
    ),
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
            "docker-archive, oci-archive, oci-dir or docker-dir",
            "FORMAT",
            default="docker-archive",
        ),
        _PLATFORM,
    ),
    "rootless.cli.image_changes:save",
    least=1,
)
IMPORT = Command(
    "import",
    "Make an image of a root file system: a tar archive, a squashfs or a SIF file",
    "FILE|URL|- [REPOSITORY[:TAG]]",
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
# A third value beside true and false: what registries.conf says counts.
_UNSAID = ""
_REGISTRY = (
    Option(
        ("tls-verify",),
        Kind.BOOL,
        "Demand https and a certificate that is trusted; =false takes what there is",
        default=_UNSAID,
    ),
    Option(("creds",), Kind.STRING, "Use this account, and no other", "USER:PASSWORD"),
    Option(("authfile",), Kind.STRING, "Read accounts from this file alone", "FILE"),
)
PULL = Command(
    "pull",
    "Fetch an image from a registry",
    "NAME[:TAG|@DIGEST]",
    (
        Option(("all-tags", "a"), Kind.BOOL, "Fetch every tag of the repository"),
        Option(("quiet", "q"), Kind.BOOL, "Print nothing but the image's name"),
        _PLATFORM,
        *_REGISTRY,
    ),
    "rootless.cli.registries:pull",
    least=1,
    most=1,
)
PUSH = Command(
    "push",
    "Send an image to a registry",
    "NAME[:TAG]",
    (
        Option(("all-tags", "a"), Kind.BOOL, "Send every tag of the repository"),
        Option(("quiet", "q"), Kind.BOOL, "Print nothing but the image's name"),
        *_REGISTRY,
    ),
    "rootless.cli.registries:push",
    least=1,
    most=1,
)
_TLS_VERIFY, _, _AUTHFILE = _REGISTRY
LOGIN = Command(
    "login",
    "Keep an account for a registry",
    "[SERVER]",
    (
        Option(("username", "u"), Kind.STRING, "The name of the account", "NAME"),
        Option(("password", "p"), Kind.STRING, "Its password; others can read it here", "TEXT"),
        Option(("password-stdin",), Kind.BOOL, "Read the password from standard input"),
        _TLS_VERIFY,
        _AUTHFILE,
    ),
    "rootless.cli.registries:login",
    most=1,
    description="""Try an account at a registry (Docker Hub if none is named) and keep it in
~/.docker/config.json, in the file of --authfile or REGISTRY_AUTH_FILE, or with the credential
helper that this file names.""",
)
LOGOUT = Command(
    "logout",
    "Forget the account for a registry",
    "[SERVER]",
    (_AUTHFILE,),
    "rootless.cli.registries:logout",
    most=1,
)
SEARCH_TAGS = Command(
    "search-tags",
    "List the tags of a repository at its registry",
    "REPOSITORY",
    (
        Option(("limit",), Kind.INT, "Print so many at most", "NUMBER"),
        Option(("format",), Kind.STRING, "Print as json, or by a Go template", "FORMAT"),
        *_REGISTRY,
    ),
    "rootless.cli.registries:search_tags",
    least=1,
    most=1,
)
COPY = Command(
    "copy",
    "Copy an image from one place to another",
    "SOURCE DESTINATION",
    (
        Option(("all", "a"), Kind.BOOL, "Copy an index with all its images, for every platform"),
        Option(
            ("multi-arch",),
            Kind.STRING,
            "What to copy of an index: system, all or index-only",
            "WHAT",
        ),
        Option(("quiet", "q"), Kind.BOOL, "Print nothing but the image's digest"),
        _PLATFORM,
        Option(("src-creds",), Kind.STRING, "The account to read with", "USER:PASSWORD"),
        Option(("dest-creds",), Kind.STRING, "The account to write with", "USER:PASSWORD"),
        Option(("src-tls-verify",), Kind.BOOL, "As --tls-verify, to read", default=_UNSAID),
        Option(("dest-tls-verify",), Kind.BOOL, "As --tls-verify, to write", default=_UNSAID),
        _AUTHFILE,
    ),
    "rootless.cli.registries:copy",
    least=2,
    most=2,
    description="""Copy an image between docker://NAME, local:NAME, oci:PATH[:NAME],
oci-archive:PATH[:NAME], docker-archive:PATH[:NAME] and dir:PATH. Of an index for several platforms
the image for this machine, or for --platform, is copied, unless --all is given.""",
)
_INSECURE = Option(("insecure",), Kind.BOOL, "As --tls-verify=false")
MANIFEST_CREATE = Command(
    "create",
    "Make a list of images for several platforms",
    "LIST IMAGE [IMAGE...]",
    (Option(("amend", "a"), Kind.BOOL, "Add to a list that is there"), _INSECURE, *_REGISTRY),
    "rootless.cli.manifest_lists:create",
    least=2,
)
MANIFEST_ANNOTATE = Command(
    "annotate",
    "Say for which platform an image of a list is",
    "LIST IMAGE",
    (
        Option(("arch",), Kind.STRING, "Its architecture", "ARCH"),
        Option(("os",), Kind.STRING, "Its operating system", "OS"),
        Option(("variant",), Kind.STRING, "The variant of its architecture", "VARIANT"),
        Option(("os-version",), Kind.STRING, "The version of its operating system", "VERSION"),
        Option(("os-features",), Kind.LIST, "What it needs of its operating system", "FEATURE"),
    ),
    "rootless.cli.manifest_lists:annotate",
    least=2,
    most=2,
)
MANIFEST_PUSH = Command(
    "push",
    "Send a list, and what it names, to a registry",
    "LIST",
    (Option(("purge", "p"), Kind.BOOL, "Forget the list afterwards"), _INSECURE, *_REGISTRY),
    "rootless.cli.manifest_lists:push",
    least=1,
    most=1,
)
MANIFEST_INSPECT = Command(
    "inspect",
    "Show a list, or a manifest at a registry",
    "[LIST] NAME",
    (
        Option(("verbose", "v"), Kind.BOOL, "Show descriptors and bytes, of a list those of each"),
        _INSECURE,
        *_REGISTRY,
    ),
    "rootless.cli.manifest_lists:inspect",
    least=1,
    most=2,
)
MANIFEST_RM = Command(
    "rm", "Forget lists", "LIST [LIST...]", (), "rootless.cli.manifest_lists:remove", least=1
)
PS = Command(
    "ps",
    "List containers",
    "",
    (
        Option(("all", "a"), Kind.BOOL, "Show those that have ended too"),
        Option(
            ("filter", "f"),
            Kind.LIST,
            "Show those that match: id=, name=, label=, status=, exited=, ancestor=, before=, since=",
            "KEY=VALUE",
        ),
        _LONG_FORMAT,
        Option(("last", "n"), Kind.INT, "Show the newest so many, whatever their status", "COUNT"),
        Option(("latest", "l"), Kind.BOOL, "Show the newest, whatever its status"),
        _NO_TRUNC,
        _QUIET,
        _SIZE,
    ),
    "rootless.cli.containers:ps",
    most=0,
)
RM = Command(
    "rm",
    "Remove containers",
    "CONTAINER [CONTAINER...]",
    (
        Option(("force", "f"), Kind.BOOL, "Kill the container if it runs"),
        Option(("volumes", "v"), Kind.BOOL, "Remove its anonymous volumes: there are none"),
    ),
    "rootless.cli.containers:rm",
    least=1,
)
CONTAINER_INSPECT = Command(
    "inspect",
    "Show everything known about containers",
    "CONTAINER [CONTAINER...]",
    (_FORMAT, _SIZE),
    "rootless.cli.inspect:inspect_containers",
    least=1,
)
COW = Command(
    "cow",
    "Show what copy-on-write has cost a container",
    "CONTAINER",
    (
        Option(("top",), Kind.BOOL, "Show the twenty files that wasted most, the worst first"),
        Option(("format",), Kind.STRING, "Print as json, or by a Go template", "FORMAT"),
    ),
    "rootless.cli.cow:cow",
    least=1,
    most=1,
    description="""Show every file of the image that was copied so that the container could change
it: the process that was the cause, the bytes copied, the bytes then changed, and the share of the
copy that was not needed. While the container runs, and after.""",
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
    (Option(("format",), Kind.STRING, "Print as json, or by a Go template", "FORMAT"),),
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
    "diff": upkeep.IMAGE_DIFF,
    "mount": upkeep.IMAGE_MOUNT,
    "prune": upkeep.IMAGE_PRUNE,
    "unmount": upkeep.IMAGE_UNMOUNT,
    "untag": upkeep.UNTAG,
    "verify": upkeep.IMAGE_VERIFY,
    "pull": PULL,
    "push": PUSH,
}
_MANIFEST: Mapping[str, Command] = {
    "create": MANIFEST_CREATE,
    "annotate": MANIFEST_ANNOTATE,
    "push": MANIFEST_PUSH,
    "inspect": MANIFEST_INSPECT,
    "rm": MANIFEST_RM,
}
_CONTAINER: Mapping[str, Command] = {
    "run": RUN,
    "ls": PS,
    "list": PS,
    "ps": PS,
    "rm": RM,
    "remove": RM,
    "inspect": CONTAINER_INSPECT,
    "commit": upkeep.COMMIT,
    "diff": upkeep.DIFF,
    "export": upkeep.EXPORT,
    "prune": upkeep.CONTAINER_PRUNE,
    "cow": COW,
}
_SYSTEM: Mapping[str, Command] = {
    "info": INFO,
    "doctor": DOCTOR,
    "df": upkeep.SYSTEM_DF,
    "prune": upkeep.SYSTEM_PRUNE,
    "check": upkeep.SYSTEM_CHECK,
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
    "untag": upkeep.UNTAG,
    "pull": PULL,
    "push": PUSH,
    "login": LOGIN,
    "logout": LOGOUT,
    "search-tags": SEARCH_TAGS,
    "history": HISTORY,
    "commit": upkeep.COMMIT,
    "diff": upkeep.DIFF,
    "export": upkeep.EXPORT,
    "inspect": INSPECT,
    "cow": COW,
    "info": INFO,
    "version": VERSION,
    "doctor": DOCTOR,
    "copy": COPY,
    "container": Group("Commands for containers", _CONTAINER),
    "manifest": Group("Commands for images of several platforms", _MANIFEST),
    "image": Group("Commands for images", _IMAGE),
    "system": Group("Commands for the engine", _SYSTEM),
}
