"""The options of `build`: Docker's names, and a few of this engine or of Podman. `rootless.cli.builds.build` reads
them into values.
"""

from __future__ import annotations

from rootless.cli.grammar import Flag, Number, Option, Text, Texts

FILE = Text(("file", "f"), 'Name of the Dockerfile (default: "PATH/Dockerfile")', "FILE")
TAG = Texts(("tag", "t"), 'Image identifier (format: "[registry/]repository[:tag]")', "NAME")
BUILD_ARG = Texts(("build-arg",), "Set build-time variables", "NAME=VALUE")
TARGET = Text(("target",), "Set the target build stage to build", "STAGE")
LABEL = Texts(("label",), "Set metadata for an image", "NAME=VALUE")
NO_CACHE = Flag(("no-cache",), "Do not use cache when building the image")
PULL = Flag(("pull",), "Always attempt to pull all referenced images")
IIDFILE = Text(("iidfile",), "Write the image ID to a file", "FILE")
QUIET = Flag(("quiet", "q"), "Suppress the build output and print image ID on success")
PROGRESS = Text(
    ("progress",),
    "Set type of progress output: auto, none, plain, quiet, rawjson or tty",
    "TYPE",
    choices=("auto", "none", "plain", "quiet", "rawjson", "tty"),
)
ADD_HOST = Texts(("add-host",), 'Add a custom host-to-IP mapping (format: "host:ip")', "HOST:IP")
ALLOW = Texts(
    ("allow",),
    'Allow extra privileged entitlement ("network.host", "security.insecure")',
    "ENTITLEMENT",
)
NETWORK = Text(
    ("network",),
    'Set the networking mode for the "RUN" instructions during build: host (default) or none',
    "MODE",
    choices=("default", "host", "none"),
)
SECRET = Texts(
    ("secret",),
    'Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")',
    "SECRET",
)
SSH = Texts(
    ("ssh",), 'SSH agent socket to expose to the build (format: "default|<id>[=<socket>]")', "AGENT"
)
SHM_SIZE = Text(("shm-size",), "Shared memory size for build containers", "BYTES")
ULIMIT = Texts(("ulimit",), "Ulimit options", "NAME=SOFT[:HARD]")
LOAD = Flag(("load",), "Accepted: the image is always put into the store", hidden=True)
ANNOTATION = Texts(("annotation",), "Add annotation to the image", "NAME=VALUE")
BUILD_CONTEXT = Texts(
    ("build-context",), "Additional build contexts (e.g., name=path)", "NAME=PLACE"
)
CACHE = Text(
    ("cache",),
    "Find a RUN in the cache by its inputs (inputs, default) or also by the files "
    "that it read (reads)",
    "BY",
    choices=("inputs", "reads"),
)
CACHE_FROM = Texts(
    ("cache-from",),
    'External cache sources (e.g., "user/app:cache", "type=local,src=path")',
    "SOURCE",
)
CACHE_TO = Texts(
    ("cache-to",),
    'Cache export destinations (e.g., "user/app:cache", "type=local,dest=path")',
    "DESTINATION",
)
CALL = Text(
    ("call",),
    'Set method for evaluating build: build, check, outline or targets (also with ",format=json")',
    "METHOD",
    choices=("build", "check", "outline", "targets"),
)
CHECK = Flag(("check",), 'Shorthand for "--call=check"')
EXPLAIN = Flag(("explain",), "Show for each step that is executed why it was not cached")
JOBS = Number(
    ("jobs",), "Maximum number of stages to build at the same time (default: number of CPUs)", "N"
)
METADATA_FILE = Text(("metadata-file",), "Write build result metadata to a file", "FILE")
NO_CACHE_FILTER = Texts(("no-cache-filter",), "Do not cache specified stages", "STAGE")
ON_FAIL = Text(
    ("on-fail",),
    "Keep the container of a RUN that fails (keep), or open a shell in it (shell)",
    "ACTION",
    choices=("keep", "shell"),
)
OUTPUT = Texts(
    ("output", "o"), 'Output destination (e.g., "user/app:cache", "type=local,dest=path")', "OUTPUT"
)
PUSH = Flag(("push",), 'Shorthand for "--output=type=registry"')
REWRITE_TIMESTAMP = Flag(
    ("rewrite-timestamp",), "Set times in new layers that are later than SOURCE_DATE_EPOCH to it"
)
RESUME = Flag(
    ("resume",),
    "Continue from the kept container of a RUN that failed: execute its command there again",
)
ACCEPT = Flag(
    ("accept",),
    "Continue from the kept container of a RUN that failed: write what was typed "
    "there to the Dockerfile, in place of the RUN (with --resume: before it)",
)
CHOWN = Text(
    ("chown",),
    "Effect of chown in RUN for an account with one id: record the owner (default), "
    "pretend or refuse",
    "MODE",
    choices=("record", "pretend", "refuse"),
)
SQUASH = Flag(("squash",), "Squash newly built layers into a single new layer")

ATTEST = Texts(
    ("attest",), 'Attestation parameters (format: "type=provenance,mode=min")', "ATTESTATION"
)
PROVENANCE = Text(("provenance",), 'Shorthand for "--attest=type=provenance"', "VALUE")
SBOM = Text(("sbom",), 'Shorthand for "--attest=type=sbom", which is not supported', "VALUE")
PLATFORM = Texts(
    ("platform",),
    "Set target platforms for build, separated by commas (e.g. linux/arm64)",
    "OS/ARCH[/VARIANT]",
)

BUILD_OPTIONS: tuple[Option, ...] = tuple(
    each for each in globals().values() if isinstance(each, Option)
)
"""Every row above, in its order."""
