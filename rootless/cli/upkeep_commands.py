"""The tables of the commands that make images of containers, look into what is stored, and tidy
it."""

from __future__ import annotations

from rootless.cli.grammar import Command, Kind, Option

_FORCE = Option(("force", "f"), Kind.BOOL, "Do not ask")
_FILTER = Option(
    ("filter",), Kind.LIST, "Only those that match: until=, label=, label!=", "KEY=VALUE"
)

COMMIT = Command(
    "commit",
    "Make an image of a container's changes",
    "CONTAINER [REPOSITORY[:TAG]]",
    (
        Option(("author", "a"), Kind.STRING, "Set the author", "NAME"),
        Option(
            ("change", "c"), Kind.LIST, "Apply a Dockerfile instruction to the image", "INSTRUCTION"
        ),
        Option(("message", "m"), Kind.STRING, "Set the message in the image's history", "TEXT"),
        Option(("pause", "p"), Kind.BOOL, "Hold the container still meanwhile", default=True),
        Option(("no-pause",), Kind.BOOL, "Let the container go on meanwhile"),
    ),
    "rootless.cli.containers:commit",
    least=1,
    most=2,
    description="""Make an image of the container's image and one more layer: what the container has
changed. The command, the variables, the user and the working directory become the container's. Data
in volumes is not part of it.

With SOURCE_DATE_EPOCH in the environment the image is the same, byte for byte, whenever it is made.""",
)
EXPORT = Command(
    "export",
    "Write a container's files as a tar archive",
    "CONTAINER",
    (Option(("output", "o"), Kind.STRING, "Write to this file, not to standard output", "FILE"),),
    "rootless.cli.containers:export",
    least=1,
    most=1,
)
DIFF = Command(
    "diff",
    "List what a container has changed: A added, C changed, D deleted",
    "CONTAINER",
    (),
    "rootless.cli.containers:diff",
    least=1,
    most=1,
)
CONTAINER_PRUNE = Command(
    "prune",
    "Remove all containers that have ended",
    "",
    (_FORCE, _FILTER),
    "rootless.cli.containers:prune",
    most=0,
)
IMAGE_DIFF = Command(
    "diff",
    "List what differs in the files of two images: A added, C changed, D deleted",
    "IMAGE IMAGE",
    (Option(("format",), Kind.STRING, "Print as json, or by a Go template", "FORMAT"),),
    "rootless.cli.image_upkeep:diff",
    least=2,
    most=2,
    description="""List what has to change in the first image to get the second. Times are not
compared, and of what both images share nothing is read.""",
)
IMAGE_MOUNT = Command(
    "mount",
    "Show an image's files in a directory, read-only",
    "[IMAGE...]",
    (),
    "rootless.cli.image_upkeep:mount",
    description="""Show the files of images, each in a directory that is printed. Without an argument
list what is mounted.""",
)
IMAGE_UNMOUNT = Command(
    "unmount",
    "End what image mount began",
    "IMAGE [IMAGE...]",
    (),
    "rootless.cli.image_upkeep:unmount",
    least=1,
)
IMAGE_PRUNE = Command(
    "prune",
    "Remove images without a name",
    "",
    (
        Option(("all", "a"), Kind.BOOL, "Remove every image that no container uses"),
        _FORCE,
        _FILTER,
    ),
    "rootless.cli.image_upkeep:prune",
    most=0,
)
IMAGE_VERIFY = Command(
    "verify",
    "Hash everything that images consist of",
    "[IMAGE...]",
    (),
    "rootless.cli.image_upkeep:verify",
    description="""Hash everything that images consist of, all images if none is named. The exit
status is 1 if anything is damaged or missing; rootless system check --repair mends what can be made
again.""",
)
UNTAG = Command(
    "untag",
    "Take names from an image",
    "IMAGE [NAME[:TAG]...]",
    (),
    "rootless.cli.image_upkeep:untag",
    least=1,
    description="""Take names from an image, all of them if none is named. The image stays, and can
be had by its id.""",
)
SYSTEM_DF = Command(
    "df",
    "Show how much room images and containers take",
    "",
    (
        Option(("format",), Kind.STRING, "Print as json, or by a Go template", "FORMAT"),
        Option(("verbose", "v"), Kind.BOOL, "One by one"),
    ),
    "rootless.cli.system_upkeep:df",
    most=0,
)
SYSTEM_PRUNE = Command(
    "prune",
    "Remove ended containers and images without a name",
    "",
    (
        Option(("all", "a"), Kind.BOOL, "Remove every image that no container uses"),
        _FORCE,
        _FILTER,
        Option(("volumes",), Kind.BOOL, "Remove volumes that no container uses: there are none"),
    ),
    "rootless.cli.system_upkeep:prune",
    most=0,
)
SYSTEM_CHECK = Command(
    "check",
    "Look for damage and for what belongs to nothing",
    "",
    (Option(("repair", "r"), Kind.BOOL, "Make damaged layers again, and remove what is unused"),),
    "rootless.cli.system_upkeep:check",
    most=0,
    description="""Hash every image, and look for what belongs to nothing, such as what a killed
command left. Safe beside everything else that runs. The exit status is 1 if something is wrong and
was not repaired.""",
)
