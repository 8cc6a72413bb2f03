"""The options of `hpc run`, `exec` and `shell`: Apptainer's names and meanings, and the variables by which they may be given
too."""

from __future__ import annotations

from rootless.cli.grammar import Flag, Option, Text, Texts

FILES = "Files"
ENVIRONMENT = "Environment"
ISOLATION = "Isolation"
DEVICES = "Devices"
IMAGE = "Image"

BIND = Texts(
    ("bind", "B"),
    "Bind paths of the host: SRC[:DST[:ro|rw]], several separated by commas",
    "SPEC",
    FILES,
)
MOUNT = Texts(("mount",), "Attach a mount: type=bind,source=…,destination=…", "MOUNT", FILES)
HOME = Text(("home", "H"), "Home directory: a directory of the host, or SRC:DST", "SPEC", FILES)
NO_HOME = Flag(("no-home",), "Do not mount the home directory", group=FILES)
NO_MOUNT = Texts(
    ("no-mount",),
    "Do not mount some of home, tmp, cwd, dev, or a path; separated by commas",
    "MOUNTS",
    FILES,
)
CWD = Text(("cwd", "pwd"), "Working directory inside the container", "DIR", FILES)
SCRATCH = Texts(("scratch", "S"), "A temporary directory in memory at this path", "DIR", FILES)
WORKDIR = Text(
    ("workdir", "W"), "Directory for /tmp, /var/tmp and the home with --contain", "DIR", FILES
)
WRITABLE = Flag(("writable", "w"), "Write to the directory that the image is", group=FILES)
WRITABLE_TMPFS = Flag(
    ("writable-tmpfs",), "Keep what the container writes in memory until it ends", group=FILES
)

OVERLAY = Texts(
    ("overlay", "o"),
    "Keep what the container writes in a directory or an ext3 image; with :ro, add a read-only layer",
    "PATH[:ro]",
    FILES,
)

ENV = Texts(("env",), "Set environment variables: NAME=VALUE", "NAME=VALUE", ENVIRONMENT)
ENV_FILE = Texts(("env-file",), "Read in a file of environment variables", "FILE", ENVIRONMENT)
CLEANENV = Flag(("cleanenv", "e"), "Start with a clean environment", group=ENVIRONMENT)
NO_UMASK = Flag(("no-umask",), "Set the umask to 0022 instead of the caller's", group=ENVIRONMENT)

CONTAIN = Flag(
    ("contain", "c"),
    "Use a minimal /dev and empty /tmp, /var/tmp and home directories",
    group=ISOLATION,
)
CONTAINALL = Flag(
    ("containall", "C"),
    "As --contain and --cleanenv, with PID and IPC namespaces",
    group=ISOLATION,
)
COMPAT = Flag(
    ("compat",), "Behave as docker: --containall --no-umask --writable-tmpfs", group=ISOLATION
)
FAKEROOT = Flag(("fakeroot", "f"), "Be root inside the container", group=ISOLATION)
NO_INIT = Flag(("no-init",), "With --pid, execute the command as process 1", group=ISOLATION)
PID = Flag(("pid", "p"), "Run in a new PID namespace", group=ISOLATION)
IPC = Flag(("ipc", "i"), "Run in a new IPC namespace", group=ISOLATION)
UTS = Flag(("uts",), "Run in a new UTS namespace", group=ISOLATION)
NET = Flag(("net", "n"), "Run in a new network namespace", group=ISOLATION)
NETWORK = Text(
    ("network",),
    "Kind of the network with --net: bridge (default) or none",
    "NETWORK",
    ISOLATION,
    choices=("bridge", "none", "pasta", "slirp4netns"),
)
USERNS = Flag(
    ("userns", "u"), "Accepted: every container has a user namespace of its own", group=ISOLATION
)
SHARENS = Flag(
    ("sharens",),
    "Share one container with the processes that the same launcher or parent starts on this node",
    group=ISOLATION,
)
HOSTNAME = Text(("hostname",), "Host name of the container; with --uts", "NAME", ISOLATION)

NV = Flag(("nv",), "Bring NVIDIA GPUs with their libraries", group=DEVICES)
ROCM = Flag(("rocm",), "Bring AMD GPUs with their libraries", group=DEVICES)
DEVICE = Texts(("device",), "Add a CDI device: vendor.com/class=name", "DEVICE", DEVICES)
CDI_SPEC_DIR = Texts(
    ("cdi-dirs", "cdi-spec-dir"),
    "Directory with CDI specifications (default /etc/cdi and /var/run/cdi)",
    "DIR",
    DEVICES,
)

NO_EFFECT = tuple(
    Flag((name,), "Accepted: it is always in effect", group=ISOLATION, hidden=True)
    for name in (
        "disable-cache",
        "no-eval",
        "no-pid",
        "no-privs",
        "underlay",
        "unsquash",
    )
)
"""Options of Apptainer that ask for what `hpc` does anyway."""

APP = Text(("app",), "Use an app of the image (SCIF)", "APP", IMAGE)
SHELL = Text(("shell", "s"), "Shell to execute", "PATH", IMAGE)
PULL = Text(
    ("pull",),
    "Pull image before running: always, missing (default), never or newer",
    "POLICY",
    IMAGE,
    choices=("always", "missing", "never", "newer"),
)
QUIET = Flag(("quiet", "q"), "Suppress the pull output", group=IMAGE)

ALL: tuple[Option, ...] = (
    *(each for each in globals().values() if isinstance(each, Option)),
    *NO_EFFECT,
)
RUN_OPTIONS = tuple(each for each in ALL if each is not SHELL)
SHELL_OPTIONS = ALL

VARIABLES: dict[Option, tuple[str, ...]] = {
    BIND: ("BINDPATH", "BIND"),
    MOUNT: ("MOUNT",),
    HOME: ("HOME",),
    NO_HOME: ("NO_HOME",),
    NO_MOUNT: ("NO_MOUNT",),
    CWD: ("CWD", "PWD", "TARGET_PWD"),
    SCRATCH: ("SCRATCH", "SCRATCHDIR"),
    WORKDIR: ("WORKDIR",),
    OVERLAY: ("OVERLAY", "OVERLAYIMAGE"),
    WRITABLE: ("WRITABLE",),
    WRITABLE_TMPFS: ("WRITABLE_TMPFS",),
    ENV_FILE: ("ENV_FILE",),
    CLEANENV: ("CLEANENV",),
    NO_UMASK: ("NO_UMASK",),
    CONTAIN: ("CONTAIN",),
    CONTAINALL: ("CONTAINALL",),
    COMPAT: ("COMPAT",),
    FAKEROOT: ("FAKEROOT",),
    NO_INIT: ("NO_INIT",),
    PID: ("UNSHARE_PID", "PID"),
    IPC: ("UNSHARE_IPC", "IPC"),
    UTS: ("UNSHARE_UTS", "UTS"),
    SHARENS: ("SHARENS",),
    NET: ("UNSHARE_NET", "NET"),
    NETWORK: ("NETWORK",),
    HOSTNAME: ("HOSTNAME",),
    NV: ("NV",),
    ROCM: ("ROCM",),
    CDI_SPEC_DIR: ("CDI_DIRS",),
    APP: ("APP", "APPNAME"),
    SHELL: ("SHELL",),
}
"""By which variables APPTAINER_NAME or SINGULARITY_NAME an option is given that was not typed."""
