"""The options of `run`, with Docker's names and meanings, and a few of this engine or of Podman.
`rootless.cli.run.values` reads them into values.
"""

from __future__ import annotations

from rootless.cli.grammar import Flag, Number, OnFlag, Option, OptionalText, Text, Texts

PROCESS = "Process"
CONTAINER = "Container"
HEALTH = "Health check"
FILES = "File system"
NETWORKING = "Network"
LIMITS = "Limits"
ISOLATION = "Isolation and security"

# The process.
INTERACTIVE = Flag(("interactive", "i"), "Keep STDIN open even if not attached", group=PROCESS)
TTY = Flag(("tty", "t"), "Allocate a pseudo-TTY", group=PROCESS)
ENV = Texts(
    ("env", "e"),
    "Set environment variables; NAME alone passes the caller's value on",
    "NAME[=VALUE]",
    PROCESS,
)
ENV_FILE = Texts(("env-file",), "Read in a file of environment variables", "FILE", PROCESS)
UNSETENV = Texts(("unsetenv",), "Unset an environment variable of the image", "NAME", PROCESS)
WORKDIR = Text(("workdir", "w"), "Working directory inside the container", "DIR", PROCESS)
USER = Text(("user", "u"), "Username or UID", "USER[:GROUP]", PROCESS)
GROUP_ADD = Texts(("group-add",), "Add additional groups to join", "GROUP", PROCESS)
ENTRYPOINT = Text(
    ("entrypoint",),
    "Overwrite the default ENTRYPOINT of the image; also a JSON array of words",
    "PROGRAM",
    PROCESS,
)
INIT = Flag(
    ("init",),
    "Run an init inside the container that forwards signals and reaps processes",
    group=PROCESS,
)
STOP_SIGNAL = Text(("stop-signal",), "Signal to stop the container", "SIGNAL", PROCESS)
STOP_TIMEOUT = Number(
    ("stop-timeout",), "Timeout (in seconds) to stop a container", "SECONDS", PROCESS
)
TIMEOUT = Number(
    ("timeout",),
    "Maximum time the container is allowed to run, in seconds; then it is killed, with status 255",
    "SECONDS",
    PROCESS,
)
SIG_PROXY = OnFlag(
    ("sig-proxy",), "Proxy received signals to the process (default true)", group=PROCESS
)
JOIN = Flag(
    ("join",),
    "Share one container among the processes that a launcher starts on this node (srun, mpirun)",
    group=PROCESS,
)
JOIN_TAG = Text(
    ("join-tag",),
    "Name of the shared container (default: the launcher's job and step)",
    "TAG",
    PROCESS,
)
JOIN_COUNT = Number(
    ("join-count",), "Number of processes that share it (default: the launcher's)", "N", PROCESS
)
PRESERVE_FDS = Number(
    ("preserve-fds",),
    "Pass N file descriptors beyond the standard streams",
    "N",
    PROCESS,
)
PRESERVE_FD = Texts(("preserve-fd",), "Pass file descriptors by their numbers", "N[,N...]", PROCESS)
ULIMIT = Texts(("ulimit",), "Set resource limits of the process", "NAME=SOFT[:HARD]", PROCESS)
UMASK = Text(("umask",), "Set the file mode creation mask, in octal", "MASK", PROCESS)
OOM_SCORE_ADJ = Number(
    ("oom-score-adj",), "Tune host's OOM preferences (-1000 to 1000)", "NUMBER", PROCESS
)
ATTACH = Texts(
    ("attach", "a"),
    "Attach to STDIN, STDOUT or STDERR",
    "STREAM",
    PROCESS,
    choices=("stdin", "stdout", "stderr"),
)

DETACH = Flag(("detach", "d"), "Run container in background and print container ID", group=PROCESS)
DETACH_KEYS = Text(
    ("detach-keys",),
    "Override the key sequence for detaching a container (default ctrl-p,ctrl-q)",
    "KEYS",
    PROCESS,
)
LOG_DRIVER = Text(
    ("log-driver",),
    "Logging driver for the container: json-file (default), k8s-file, journald, none or passthrough",
    "DRIVER",
    PROCESS,
    choices=("json-file", "k8s-file", "journald", "none", "passthrough"),
)
LOG_OPT = Texts(("log-opt",), "Log driver options", "NAME=VALUE", PROCESS)

HEALTH_CMD = Text(("health-cmd",), "Command to run to check health", "COMMAND", HEALTH)
HEALTH_INTERVAL = Text(
    ("health-interval",),
    "Time between running the check (ms|s|m|h), or disable (default 30s)",
    "TIME",
    HEALTH,
)
HEALTH_TIMEOUT = Text(
    ("health-timeout",),
    "Maximum time to allow one check to run (ms|s|m|h) (default 30s)",
    "TIME",
    HEALTH,
)
HEALTH_RETRIES = Number(
    ("health-retries",),
    "Consecutive failures needed to report unhealthy (default 3)",
    "NUMBER",
    HEALTH,
)
HEALTH_START_PERIOD = Text(
    ("health-start-period",),
    "Start period for the container to initialize before starting health-retries countdown "
    "(ms|s|m|h)",
    "TIME",
    HEALTH,
)
HEALTH_START_INTERVAL = Text(
    ("health-start-interval",),
    "Time between running the check during the start period (ms|s|m|h) (default 5s)",
    "TIME",
    HEALTH,
)
HEALTH_ON_FAILURE = Text(
    ("health-on-failure",),
    "Action to take once the container is unhealthy: none (default), kill, restart or stop",
    "ACTION",
    HEALTH,
    choices=("none", "kill", "restart", "stop"),
)
HEALTH_STARTUP_CMD = Text(
    ("health-startup-cmd",),
    "Command to run to check health until it has succeeded, before the other checks",
    "COMMAND",
    HEALTH,
)
HEALTH_STARTUP_INTERVAL = Text(
    ("health-startup-interval",),
    "Time between running the startup check (ms|s|m|h), or disable (default 30s)",
    "TIME",
    HEALTH,
)
HEALTH_STARTUP_TIMEOUT = Text(
    ("health-startup-timeout",),
    "Maximum time to allow one startup check to run (ms|s|m|h) (default 30s)",
    "TIME",
    HEALTH,
)
HEALTH_STARTUP_RETRIES = Number(
    ("health-startup-retries",),
    "Failures of the startup check that restart the container (default: it is not restarted)",
    "NUMBER",
    HEALTH,
)
HEALTH_STARTUP_SUCCESS = Number(
    ("health-startup-success",),
    "Consecutive successes of the startup check that begin the other checks (default 1)",
    "NUMBER",
    HEALTH,
)
HEALTH_MAX_LOG_COUNT = Number(
    ("health-max-log-count",),
    "Results of health checks to keep, 0 for all (default 5)",
    "NUMBER",
    HEALTH,
)
HEALTH_MAX_LOG_SIZE = Number(
    ("health-max-log-size",),
    "Bytes of the output of each check to keep, 0 for all (default 4096)",
    "BYTES",
    HEALTH,
)
HEALTH_LOG_DESTINATION = Text(
    ("health-log-destination",),
    "Where to write results of health checks as well: local (nowhere else, the default), events_logger or a directory",
    "local|events_logger|DIRECTORY",
    HEALTH,
)
NO_HEALTHCHECK = Flag(
    ("no-healthcheck",), "Disable any container-specified HEALTHCHECK", group=HEALTH
)

# What the container is called and how long it stays.
RM = Flag(
    ("rm",),
    "Automatically remove the container and its associated anonymous volumes when it exits",
    group=CONTAINER,
)
RMI = Flag(
    ("rmi",),
    "Remove the image as well when the container exits, unless another one uses it (implies --rm)",
    group=CONTAINER,
)
NAME = Text(("name",), "Assign a name to the container", "NAME", CONTAINER)
REPLACE = Flag(
    ("replace",), "Remove the container that has the name first, also if it runs", group=CONTAINER
)
RESTART = Text(
    ("restart",),
    "Restart policy to apply when a container exits: no (default), always, unless-stopped or "
    "on-failure[:max-retries]",
    "POLICY",
    CONTAINER,
    choices=("no", "always", "unless-stopped", "on-failure"),
)
LABEL = Texts(("label", "l"), "Set meta data on a container", "KEY[=VALUE]", CONTAINER)
LABEL_FILE = Texts(("label-file",), "Read in a line delimited file of labels", "FILE", CONTAINER)
ANNOTATION = Texts(
    ("annotation",),
    "Add an annotation to the container (passed through to the OCI runtime configuration)",
    "KEY=VALUE",
    CONTAINER,
)
CIDFILE = Text(("cidfile",), "Write the container ID to the file", "FILE", CONTAINER)
RECORD = Text(
    ("record",),
    "Write a Dockerfile of what is typed into the container's shell (with -it)",
    "FILE",
    CONTAINER,
)
PREFETCH = Text(
    ("prefetch",),
    "Read ahead the files that FILE names: a trace as JSON, or one path per line",
    "FILE",
    FILES,
)
TRACE = OptionalText(
    ("trace",),
    "Record which files the container reads, for rootless trace; =FILE also writes "
    "the trace to FILE at the end",
    "FILE",
    CONTAINER,
)
SNAPSHOT_EACH = Text(
    ("snapshot-each",),
    "Take a snapshot before each command of exec, or at an interval",
    "exec|SECONDS",
    CONTAINER,
)
PULL = Text(
    ("pull",),
    "Pull image before running: always, missing (default), never or newer",
    "POLICY",
    CONTAINER,
    choices=("always", "missing", "never", "newer"),
)
PLATFORM = Text(
    ("platform",),
    "Choose this platform where an image has several (e.g. linux/arm64)",
    "OS/ARCH[/VARIANT]",
    CONTAINER,
)
ISOLATION_TECHNOLOGY = Text(
    ("isolation",),
    "Container isolation technology: default",
    "TECHNOLOGY",
    CONTAINER,
    hidden=True,
)
QUIET = Flag(("quiet", "q"), "Suppress the pull output", group=CONTAINER)
DISABLE_CONTENT_TRUST = OnFlag(
    ("disable-content-trust",),
    "Skip image verification (default true)",
    group=CONTAINER,
    hidden=True,
)

# Files.
ROOTFS = Text(
    ("rootfs",),
    "Use a directory, a squashfs or a SIF file in place of an image, copy-on-write; / is the "
    "host itself",
    "PATH",
    FILES,
)
VOLUME = Texts(
    ("volume", "v"), "Bind mount a volume or a directory", "[SOURCE:]TARGET[:OPTIONS]", FILES
)
VOLUMES_FROM = Texts(
    ("volumes-from",), "Mount volumes from the specified container(s)", "CONTAINER[:OPTIONS]", FILES
)
VOLUME_DRIVER = Text(
    ("volume-driver",), "Optional volume driver for the container (local)", "DRIVER", FILES
)
MOUNT = Texts(
    ("mount",),
    "Attach a filesystem mount to the container: type=bind|volume|tmpfs|image,source=…,target=…",
    "MOUNT",
    FILES,
)
TMPFS = Texts(("tmpfs",), "Mount a tmpfs directory", "TARGET[:OPTIONS]", FILES)
READ_ONLY = Flag(("read-only",), "Mount the container's root filesystem as read only", group=FILES)
OVERLAY = Texts(
    ("overlay",),
    "Keep the writable layer in a directory or an ext3 image, which outlives the container; with :ro, use one of these, "
    "a squashfs or a SIF file as a further read-only layer",
    "PATH[:ro]",
    FILES,
)
WRITABLE_TMPFS = OptionalText(
    ("writable-tmpfs",),
    "Keep the writable layer in memory, until the container stops; SIZE limits it",
    "[=SIZE]",
    FILES,
)
TZ = Text(
    ("tz",),
    "Set timezone in the container (/etc/localtime): a name such as Europe/Prague, or local",
    "ZONE",
    FILES,
)
SHM_SIZE = Text(("shm-size",), "Size of /dev/shm", "BYTES", FILES)
STORAGE_OPT = Texts(
    ("storage-opt",),
    "Storage driver options for the container: size=5G, inodes=200k, bps=100M, iops=2k limit the "
    "writable layer; sync=auto (default) or sync=always",
    "KEY=VALUE[,...]",
    FILES,
)
STORAGE_DRIVER = Text(
    ("storage-driver",),
    "Storage driver: unionfs (default) or overlay (kernel overlayfs)",
    "DRIVER",
    FILES,
    choices=("unionfs", "overlay"),
)

# Network.
NETWORK = Texts(
    ("network", "net"),
    "Connect a container to a network: bridge (private, with a way out by pasta or slirp4netns; the default where one of "
    "them is installed), host (the host's own), pasta, slirp4netns, none, or the name of one of 'network create'",
    "NETWORK",
    NETWORKING,
    choices=("bridge", "host", "none", "pasta", "slirp4netns"),
)
PUBLISH = Texts(
    ("publish", "p"),
    "Publish a container's port(s) to the host ([ADDRESS:][HOST_PORT:]PORT[/PROTOCOL])",
    "PORT",
    NETWORKING,
)
PUBLISH_ALL = Flag(
    ("publish-all", "P"), "Publish all exposed ports to random ports", group=NETWORKING
)
EXPOSE = Texts(("expose",), "Expose a port or a range of ports", "PORT", NETWORKING)
MAC_ADDRESS = Text(
    ("mac-address",), "Container MAC address (e.g., 92:d0:c6:0a:29:33)", "ADDRESS", NETWORKING
)
NETWORK_ALIAS = Texts(
    ("network-alias", "net-alias"), "Add network-scoped alias for the container", "NAME", NETWORKING
)
IP = Text(("ip",), "IPv4 address (e.g., 172.30.100.104)", "ADDRESS", NETWORKING)
IP6 = Text(("ip6",), "IPv6 address (e.g., 2001:db8::33)", "ADDRESS", NETWORKING)
HOSTNAME = Text(("hostname", "h"), "Container host name", "NAME", NETWORKING)
DOMAINNAME = Text(("domainname",), "Container NIS domain name", "NAME", NETWORKING)
ADD_HOST = Texts(
    ("add-host",), "Add a custom host-to-IP mapping (host:ip)", "NAME:ADDRESS", NETWORKING
)
DNS = Texts(("dns",), "Set custom DNS servers", "ADDRESS", NETWORKING)
DNS_SEARCH = Texts(("dns-search",), "Set custom DNS search domains", "DOMAIN", NETWORKING)
DNS_OPTION = Texts(("dns-option", "dns-opt"), "Set DNS options", "OPTION", NETWORKING)

# Limits.
MEMORY = Text(("memory", "m"), "Memory limit", "BYTES", LIMITS)
MEMORY_SWAP = Text(
    ("memory-swap",),
    "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
    "BYTES",
    LIMITS,
)
MEMORY_RESERVATION = Text(("memory-reservation",), "Memory soft limit", "BYTES", LIMITS)
OOM_KILL_DISABLE = Flag(("oom-kill-disable",), "Disable OOM Killer", group=LIMITS, hidden=True)
CPUS = Text(("cpus",), "Number of CPUs", "NUMBER", LIMITS)
CPU_SHARES = Number(("cpu-shares", "c"), "CPU shares (relative weight)", "WEIGHT", LIMITS)
CPU_PERIOD = Number(
    ("cpu-period",),
    "Limit CPU CFS (Completely Fair Scheduler) period, in microseconds",
    "MICROSECONDS",
    LIMITS,
)
CPU_QUOTA = Number(
    ("cpu-quota",),
    "Limit CPU CFS (Completely Fair Scheduler) quota, in microseconds",
    "MICROSECONDS",
    LIMITS,
)
CPUSET_CPUS = Text(("cpuset-cpus",), "CPUs in which to allow execution (0-3, 0,1)", "LIST", LIMITS)
CPUSET_MEMS = Text(("cpuset-mems",), "MEMs in which to allow execution (0-3, 0,1)", "LIST", LIMITS)
PIDS_LIMIT = Number(
    ("pids-limit",), "Tune container pids limit (set -1 for unlimited)", "NUMBER", LIMITS
)
BLKIO_WEIGHT = Number(
    ("blkio-weight",),
    "Block IO (relative weight), between 10 and 1000, or 0 to disable",
    "WEIGHT",
    LIMITS,
)
DEVICE_READ_BPS = Texts(
    ("device-read-bps",),
    "Limit read rate (bytes per second) from a device",
    "DEVICE:BYTES",
    LIMITS,
)
DEVICE_WRITE_BPS = Texts(
    ("device-write-bps",),
    "Limit write rate (bytes per second) to a device",
    "DEVICE:BYTES",
    LIMITS,
)
DEVICE_READ_IOPS = Texts(
    ("device-read-iops",),
    "Limit read rate (IO per second) from a device",
    "DEVICE:NUMBER",
    LIMITS,
)
DEVICE_WRITE_IOPS = Texts(
    ("device-write-iops",),
    "Limit write rate (IO per second) to a device",
    "DEVICE:NUMBER",
    LIMITS,
)
CGROUP_PARENT = Text(
    ("cgroup-parent",), "Optional parent cgroup for the container", "CGROUP", LIMITS
)

# Isolation.
USERNS = Text(
    ("userns",),
    "User namespace to use: host or keep-id[:uid=UID,gid=GID]",
    "MODE",
    ISOLATION,
    choices=("host", "keep-id"),
)
PID = Text(
    ("pid",),
    "PID namespace to use: private, host or container:NAME",
    "MODE",
    ISOLATION,
    choices=("private", "host"),
)
IPC = Text(
    ("ipc",),
    "IPC mode to use: private, host, none or container:NAME",
    "MODE",
    ISOLATION,
    choices=("private", "host", "none"),
)
UTS = Text(
    ("uts",),
    "UTS namespace to use: private, host or container:NAME",
    "MODE",
    ISOLATION,
    choices=("private", "host"),
)
CGROUPNS = Text(
    ("cgroupns",),
    "Cgroup namespace to use: private or host",
    "MODE",
    ISOLATION,
    choices=("private", "host"),
)
DEVICE = Texts(
    ("device",),
    "Add a host device to the container, by its path or by the name of a CDI device: vendor.com/class=name",
    "SOURCE[:TARGET[:rwm]]",
    ISOLATION,
)
GPUS = Texts(
    ("gpus",),
    "GPU devices to add to the container ('all' to pass all GPUs): the CDI devices nvidia.com/gpu",
    "GPU-REQUEST",
    ISOLATION,
)
CDI_SPEC_DIR = Texts(
    ("cdi-spec-dir",),
    "Directory with CDI specifications (default /etc/cdi and /var/run/cdi)",
    "DIR",
    ISOLATION,
)
CAP_ADD = Texts(("cap-add",), "Add Linux capabilities", "CAPABILITY", ISOLATION)
CAP_DROP = Texts(("cap-drop",), "Drop Linux capabilities", "CAPABILITY", ISOLATION)
SECURITY_OPT = Texts(
    ("security-opt",),
    "Security options: seccomp=FILE|unconfined, no-new-privileges, unmask=PATHS",
    "OPTION",
    ISOLATION,
)
PRIVILEGED = Flag(
    ("privileged",),
    "Give extended privileges to this container: all capabilities, the devices that the caller "
    "can open, no seccomp, no masked paths",
    group=ISOLATION,
)
CHOWN = Text(
    ("chown",),
    "Effect of chown for an account with one id: record the owner (default), pretend or refuse",
    "MODE",
    ISOLATION,
    choices=("record", "pretend", "refuse"),
)
SYSCTL = Texts(
    ("sysctl",), "Set kernel parameters of the container's namespaces", "NAME=VALUE", ISOLATION
)

RUN_OPTIONS: tuple[Option, ...] = tuple(
    each for each in globals().values() if isinstance(each, Option)
)
"""Every row above, in its order."""
_OF_RUN = {
    DETACH,
    DETACH_KEYS,
    SIG_PROXY,
    RECORD,
    JOIN,
    JOIN_TAG,
    JOIN_COUNT,
    PRESERVE_FDS,
    PRESERVE_FD,
}
CREATE_OPTIONS: tuple[Option, ...] = tuple(each for each in RUN_OPTIONS if each not in _OF_RUN)
"""Those of `create`, which starts nothing."""
