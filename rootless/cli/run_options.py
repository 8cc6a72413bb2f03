"""The options of `run`: Docker's names, spelled and meant as Docker's, and a few that only this
engine or Podman has.
"""

from __future__ import annotations

from rootless.cli.grammar import Kind, Option

PROCESS = "Process"
IDENTITY = "Container"
FILES = "File system"
NETWORK = "Network"
LIMITS = "Limits"
ISOLATION = "Isolation and security"

_PRIVATE_NETWORK = "private networks are not there yet; use --network host or --network none"
_DETACHED = "containers in the background are not there yet"

RUN_OPTIONS: tuple[Option, ...] = (
    # What runs.
    Option(
        ("interactive", "i"),
        Kind.BOOL,
        "Connect standard input; without it the command reads nothing",
        group=PROCESS,
    ),
    Option(("tty", "t"), Kind.BOOL, "Give the command a terminal", group=PROCESS),
    Option(
        ("env", "e"),
        Kind.LIST,
        "Set an environment variable; NAME alone passes yours on",
        "NAME[=VALUE]",
        PROCESS,
    ),
    Option(("env-file",), Kind.LIST, "Read environment variables from a file", "FILE", PROCESS),
    Option(
        ("workdir", "w"), Kind.STRING, "Start in this directory of the container", "DIR", PROCESS
    ),
    Option(
        ("user", "u"), Kind.STRING, "Run as this user, by name or number", "USER[:GROUP]", PROCESS
    ),
    Option(
        ("group-add",), Kind.LIST, "Add an additional group, by name or number", "GROUP", PROCESS
    ),
    Option(
        ("entrypoint",),
        Kind.STRING,
        "Use this program in place of the image's entry point",
        "PROGRAM",
        PROCESS,
    ),
    Option(
        ("init",),
        Kind.BOOL,
        "Put a small init before the command, which reaps zombies and passes signals on",
        group=PROCESS,
    ),
    Option(
        ("stop-signal",), Kind.STRING, "The signal that asks the command to end", "SIGNAL", PROCESS
    ),
    Option(
        ("stop-timeout",),
        Kind.INT,
        "Seconds between asking the command to end and killing it",
        "SECONDS",
        PROCESS,
    ),
    Option(
        ("sig-proxy",),
        Kind.BOOL,
        "Pass signals on to the command; --sig-proxy=false keeps them",
        group=PROCESS,
        default=True,
    ),
    Option(
        ("ulimit",), Kind.LIST, "Set a resource limit of the process", "NAME=SOFT[:HARD]", PROCESS
    ),
    Option(("umask",), Kind.STRING, "Set the file mode creation mask, in octal", "MASK", PROCESS),
    Option(
        ("oom-score-adj",),
        Kind.INT,
        "Make the kernel more willing to kill it when memory runs out, -1000 to 1000",
        "NUMBER",
        PROCESS,
    ),
    Option(
        ("attach", "a"),
        Kind.LIST,
        "Connect only these of stdin, stdout and stderr",
        "STREAM",
        PROCESS,
    ),
    Option(
        ("detach-keys",),
        Kind.STRING,
        "Override the key sequence for detaching from a container (default ctrl-p,ctrl-q)",
        "KEYS",
        PROCESS,
    ),
    # What it is called and how long it stays.
    Option(("rm",), Kind.BOOL, "Remove the container when it ends", group=IDENTITY, field="remove"),
    Option(("name",), Kind.STRING, "Give the container a name", "NAME", IDENTITY),
    Option(
        ("detach", "d"),
        Kind.BOOL,
        "Leave it running in the background",
        group=IDENTITY,
        hidden=True,
    ),
    Option(("label", "l"), Kind.LIST, "Attach a label", "KEY[=VALUE]", IDENTITY),
    Option(("label-file",), Kind.LIST, "Read labels from a file", "FILE", IDENTITY),
    Option(
        ("annotation",),
        Kind.LIST,
        "Add an annotation to the OCI runtime configuration",
        "KEY=VALUE",
        IDENTITY,
    ),
    Option(
        ("cidfile",),
        Kind.STRING,
        "Write the container's id to a file, which must not exist",
        "FILE",
        IDENTITY,
    ),
    Option(
        ("pull",),
        Kind.STRING,
        "Fetch the image first: always, missing, never or newer",
        "POLICY",
        IDENTITY,
    ),
    Option(
        ("platform",),
        Kind.STRING,
        "The platform to choose where an image has several",
        "OS/ARCH",
        IDENTITY,
    ),
    Option(("quiet", "q"), Kind.BOOL, "Say nothing about fetching the image", group=IDENTITY),
    Option(
        ("restart",),
        Kind.STRING,
        "When to start it again",
        "POLICY",
        IDENTITY,
        hidden=True,
        refused=_DETACHED,
    ),
    # Files.
    Option(
        ("rootfs",),
        Kind.STRING,
        "Use a directory, a squashfs or a SIF file in place of an image, copy on write; / is the "
        "machine itself",
        "PATH",
        FILES,
    ),
    Option(
        ("volume", "v"),
        Kind.LIST,
        "Show a file or directory of the machine in the container",
        "SOURCE:TARGET[:OPTIONS]",
        FILES,
    ),
    Option(
        ("mount",),
        Kind.LIST,
        "The same, spelled out: type=bind|tmpfs,source=…,target=…",
        "SPEC",
        FILES,
    ),
    Option(
        ("tmpfs",),
        Kind.LIST,
        "Mount an empty file system held in memory",
        "TARGET[:OPTIONS]",
        FILES,
    ),
    Option(("read-only",), Kind.BOOL, "Make the root file system read-only", group=FILES),
    Option(("shm-size",), Kind.STRING, "Size of /dev/shm", "BYTES", FILES),
    Option(
        ("storage-driver",),
        Kind.STRING,
        "What stacks the layers: unionfs, or overlay for the kernel's",
        "NAME",
        FILES,
    ),
    Option(
        ("volumes-from",),
        Kind.LIST,
        "Take the volumes of another container",
        "CONTAINER",
        FILES,
        hidden=True,
        refused="volumes are not there yet",
    ),
    # Network.
    Option(
        ("network", "net"), Kind.STRING, "host (the machine's network) or none", "NETWORK", NETWORK
    ),
    Option(("hostname", "h"), Kind.STRING, "The container's host name", "NAME", NETWORK),
    Option(("add-host",), Kind.LIST, "Add a line to /etc/hosts", "NAME:ADDRESS", NETWORK),
    Option(("dns",), Kind.LIST, "Ask this name server", "ADDRESS", NETWORK),
    Option(("dns-search",), Kind.LIST, "Look names up in this domain", "DOMAIN", NETWORK),
    Option(
        ("dns-option", "dns-opt"), Kind.LIST, "Set an option of the resolver", "OPTION", NETWORK
    ),
    Option(
        ("publish", "p"),
        Kind.LIST,
        "Publish a port",
        "PORTS",
        NETWORK,
        hidden=True,
        refused=_PRIVATE_NETWORK,
    ),
    Option(
        ("publish-all", "P"),
        Kind.BOOL,
        "Publish every port of the image",
        group=NETWORK,
        hidden=True,
        refused=_PRIVATE_NETWORK,
    ),
    Option(
        ("network-alias", "net-alias"),
        Kind.LIST,
        "Add a name in the network",
        "NAME",
        NETWORK,
        hidden=True,
        refused=_PRIVATE_NETWORK,
    ),
    Option(
        ("ip",),
        Kind.STRING,
        "The container's address",
        "ADDRESS",
        NETWORK,
        hidden=True,
        refused=_PRIVATE_NETWORK,
    ),
    Option(
        ("ip6",),
        Kind.STRING,
        "The container's address",
        "ADDRESS",
        NETWORK,
        hidden=True,
        refused=_PRIVATE_NETWORK,
    ),
    Option(
        ("mac-address",),
        Kind.STRING,
        "The container's hardware address",
        "ADDRESS",
        NETWORK,
        hidden=True,
        refused=_PRIVATE_NETWORK,
    ),
    # Limits.
    Option(("memory", "m"), Kind.STRING, "Memory limit", "BYTES", LIMITS),
    Option(
        ("memory-swap",),
        Kind.STRING,
        "Limit of memory and swap together; -1 for no limit of swap",
        "BYTES",
        LIMITS,
    ),
    Option(
        ("memory-reservation",),
        Kind.STRING,
        "Memory that is kept for it while the machine is short",
        "BYTES",
        LIMITS,
    ),
    Option(
        ("oom-kill-disable",),
        Kind.BOOL,
        "Do not kill it when it runs out of memory",
        group=LIMITS,
        hidden=True,
    ),
    Option(
        ("cpus",), Kind.STRING, "Number of processors it may use, as a decimal", "NUMBER", LIMITS
    ),
    Option(
        ("cpu-shares", "c"),
        Kind.INT,
        "Weight against others when processors are short",
        "WEIGHT",
        LIMITS,
    ),
    Option(
        ("cpu-period",),
        Kind.INT,
        "Length of a scheduling period, in microseconds",
        "MICROSECONDS",
        LIMITS,
    ),
    Option(
        ("cpu-quota",),
        Kind.INT,
        "Processor time in a period, in microseconds",
        "MICROSECONDS",
        LIMITS,
    ),
    Option(("cpuset-cpus",), Kind.STRING, "Processors to run on", "LIST", LIMITS),
    Option(("cpuset-mems",), Kind.STRING, "Memory nodes to allocate from", "LIST", LIMITS),
    Option(
        ("pids-limit",),
        Kind.INT,
        "Number of processes and threads; -1 for no limit",
        "NUMBER",
        LIMITS,
    ),
    Option(
        ("blkio-weight",), Kind.INT, "Weight of its input and output, 10 to 1000", "WEIGHT", LIMITS
    ),
    Option(
        ("device-read-bps",),
        Kind.LIST,
        "Limit reading from a device, in bytes a second",
        "DEVICE:BYTES",
        LIMITS,
    ),
    Option(
        ("device-write-bps",),
        Kind.LIST,
        "Limit writing to a device, in bytes a second",
        "DEVICE:BYTES",
        LIMITS,
    ),
    Option(
        ("device-read-iops",),
        Kind.LIST,
        "Limit reading from a device, in operations a second",
        "DEVICE:NUMBER",
        LIMITS,
    ),
    Option(
        ("device-write-iops",),
        Kind.LIST,
        "Limit writing to a device, in operations a second",
        "DEVICE:NUMBER",
        LIMITS,
    ),
    Option(("cgroup-parent",), Kind.STRING, "The control group to put it under", "CGROUP", LIMITS),
    # Isolation.
    Option(
        ("userns",), Kind.STRING, "User namespace: host, keep-id[:uid=N,gid=N]", "MODE", ISOLATION
    ),
    Option(("pid",), Kind.STRING, "PID namespace: private or host", "MODE", ISOLATION),
    Option(("ipc",), Kind.STRING, "IPC namespace: private, host or none", "MODE", ISOLATION),
    Option(("uts",), Kind.STRING, "UTS namespace: private or host", "MODE", ISOLATION),
    Option(("cgroupns",), Kind.STRING, "Cgroup namespace: private or host", "MODE", ISOLATION),
    Option(
        ("device",),
        Kind.LIST,
        "Show a device of the machine in the container",
        "SOURCE[:TARGET[:rwm]]",
        ISOLATION,
    ),
    Option(("cap-add",), Kind.LIST, "Add a capability, or ALL", "CAPABILITY", ISOLATION),
    Option(("cap-drop",), Kind.LIST, "Drop a capability, or ALL", "CAPABILITY", ISOLATION),
    Option(
        ("security-opt",),
        Kind.LIST,
        "seccomp=FILE|unconfined, no-new-privileges, unmask=PATHS",
        "OPTION",
        ISOLATION,
    ),
    Option(
        ("privileged",),
        Kind.BOOL,
        "All capabilities and devices that you have yourself, no seccomp, nothing masked",
        group=ISOLATION,
    ),
    Option(
        ("sysctl",), Kind.LIST, "Set a kernel parameter of its namespaces", "NAME=VALUE", ISOLATION
    ),
    Option(
        ("gpus",),
        Kind.STRING,
        "GPU devices",
        "DEVICES",
        ISOLATION,
        hidden=True,
        refused="pass the devices with --device",
    ),
)
