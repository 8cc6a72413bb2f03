"""What this machine offers to an ordinary user, decided by trying it and never by a version.

A probe returns None when the feature works, else one sentence that says what does not. Each is
tried once a session, in a process of its own, with a bound on its time. `needs(...)` in a test
names probes of this table.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from uuid import uuid4

PROBE_SECONDS = 60
UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")
JOURNALD = "/lib/systemd/systemd-journald"
JOURNAL_NAMESPACES = (*UNSHARE, "--cgroup", "--propagation", "private")
"""In which an ordinary user can start a journal."""

_MOUNT_FUSE = """
import ctypes, os, sys
fd = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"probe", sys.argv[1].encode(), b"fuse.probe", 0, options):
    sys.exit("mount: " + os.strerror(ctypes.get_errno()))
"""

_OFFERS_RESEND = """
import struct
init = os.read(fd, 1 << 16)
if len(init) < 60 or not struct.unpack_from("=I", init, 56)[0] & 1 << 7:
    sys.exit("the kernel does not offer FUSE_HAS_RESEND")
"""


def _attempt(argv: Sequence[str], env: dict[str, str] | None = None) -> str | None:
    """Run a command that proves a feature; None on success, else its last line."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
            env=env,
        )
    except FileNotFoundError:
        return f"{argv[0]} is not installed"
    except subprocess.TimeoutExpired:
        return f"{argv[0]} gave no answer in {PROBE_SECONDS} seconds"
    if done.returncode == 0:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return f"{argv[0]} fails: {lines[-1] if lines else f'status {done.returncode}'}"


def _squashfs() -> str | None:
    # squashfuse has no option that only prints and succeeds.
    missing = [name for name in ("squashfuse", "mksquashfs") if shutil.which(name) is None]
    return f"{' and '.join(missing)} not installed" if missing else _fusermount()


def _ext3() -> str | None:
    if shutil.which("mkfs.ext3", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
        return "mkfs.ext3 is not installed"
    return _program("fuse2fs", "-V")() or _fusermount()


def _program(name: str, *arguments: str) -> Callable[[], str | None]:
    return lambda: _attempt([name, *(arguments or ("--version",))])


def _userns() -> str | None:
    failure = _attempt(["unshare", "--user", "--map-root-user", "--mount", "true"])
    return failure and f"user namespaces are not for this account ({failure})"


def _subuid() -> str | None:
    failure = _attempt(["unshare", "--user", "--map-auto", "--map-root-user", "true"])
    return failure and f"this account has no subordinate ids that newuidmap would map ({failure})"


def _nosub() -> str | None:
    if failure := _userns():
        return failure
    if _subuid() is None:
        return (
            "this account has subordinate ids; as root, `make test` runs this as one that has none"
        )
    return None


def _fuse() -> str | None:
    with tempfile.TemporaryDirectory() as directory:
        failure = _attempt([*UNSHARE, sys.executable, "-c", _MOUNT_FUSE, directory])
    return failure and f"FUSE cannot be mounted in a user namespace ({failure})"


def _fuse_resend() -> str | None:
    with tempfile.TemporaryDirectory() as directory:
        script = _MOUNT_FUSE + _OFFERS_RESEND
        failure = _attempt([*UNSHARE, sys.executable, "-c", script, directory])
    return failure and f"a file server cannot be replaced ({failure})"


def _fusermount() -> str | None:
    if shutil.which("fusermount3") is None:
        return "fusermount3 is not installed"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/fuse cannot be opened: {error.strerror}"
    # Without no_new_privs on us, the set-user-id program can mount; only a mount would show more.
    status = Path("/proc/self/status").read_text()
    return "no_new_privs is set" if "NoNewPrivs:\t1" in status else None


def _overlay() -> str | None:
    with tempfile.TemporaryDirectory() as directory:
        for name in ("lower", "upper", "work", "merged"):
            os.mkdir(f"{directory}/{name}")
        # The file system makes work/work with mode 0: gone again only by the hand that may enter
        # it.
        script = (
            'cd "$1" && mount -t overlay overlay -o userxattr,lowerdir=lower,upperdir=upper,workdir=work merged'
            " && touch merged/file && umount merged; status=$?; chmod -R u+rwx work; exit $status"
        )
        failure = _attempt([*UNSHARE, "sh", "-c", script, "sh", directory])
    return failure and f"kernel overlayfs cannot be mounted in a user namespace ({failure})"


def _podman() -> str | None:
    """podman really runs a process: on hosts that mix cgroup versions `podman info` works and `run`
    does not."""
    busybox = shutil.which("busybox")
    if busybox is None:
        return "busybox is not installed"
    with tempfile.TemporaryDirectory() as directory:
        os.makedirs(f"{directory}/rootfs/bin")
        for name in ("proc", "sys", "dev", "etc", "tmp", "run"):
            os.mkdir(f"{directory}/rootfs/{name}")
        shutil.copy(busybox, f"{directory}/rootfs/bin/busybox")
        run = [
            "run",
            "--rm",
            "--network=none",
            "--rootfs",
            f"{directory}/rootfs",
            "/bin/busybox",
            "true",
        ]
        store = ["--root", f"{directory}/root", "--runroot", f"{directory}/run"]
        failure = _attempt(["podman", *store, *run])
        _attempt(
            ["podman", *store, "unshare", "rm", "-rf", f"{directory}/root", f"{directory}/run"]
        )
    return failure and f"podman runs no container ({failure})"


def _pyfuse3() -> str | None:
    return _attempt([sys.executable, "-c", "import pyfuse3"])


def _cgroup_delegation() -> str | None:
    """A cgroup v2 directory of our own, beneath which we may make others."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            own = Path("/sys/fs/cgroup") / line[3:].lstrip("/")
            probe = own / f"probe-{uuid4().hex}"
            try:
                probe.mkdir()
                probe.rmdir()
            except OSError as error:
                return (
                    f"no cgroup is delegated: {own}: {errno.errorcode.get(error.errno or 0, '?')}"
                )
            return None
    return "no cgroup version 2"


def _journal() -> str | None:
    for program in (JOURNALD, "journalctl", "nsenter"):
        if not shutil.which(program):
            return f"{program} is not installed"
    if not os.path.exists("/etc/machine-id"):
        return "/etc/machine-id is missing"
    mount = "mount -t tmpfs none /run && mount -t cgroup2 none /sys/fs/cgroup"
    failure = _attempt([*JOURNAL_NAMESPACES, "sh", "-c", mount])
    return failure and f"a journal cannot be started by this account ({failure})"


def _slurm() -> str | None:
    for program in ("munged", "slurmctld", "slurmd", "srun", "sbatch"):
        if not shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
            return f"{program} is not installed"
    failure = _attempt([sys.executable, "-m", "tests.support.slurm"])
    return failure and f"Slurm cannot be started by this account ({failure})"


def _tun() -> str | None:
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/net/tun cannot be opened: {error.strerror}"
    return None


PROBES: dict[str, Callable[[], str | None]] = {
    "userns": _userns,
    "subuid": _subuid,
    "nosub": _nosub,
    "fuse": _fuse,
    "fuse-resend": _fuse_resend,
    "fusermount": _fusermount,
    "overlay": _overlay,
    "podman": _podman,
    # To load and save, where it may run nothing.
    "podman-images": _program("podman"),
    "pyfuse3": _pyfuse3,
    "cgroup-delegation": _cgroup_delegation,
    "tun": _tun,
    "journal": _journal,
    "slurm": _slurm,
    "mpich": _program("mpicc.mpich", "-show"),
    "openmpi": _program("mpicc.openmpi", "--showme"),
    "fuse-overlayfs": _program("fuse-overlayfs"),
    "crun": _program("crun"),
    "bwrap": _program("bwrap", "--ro-bind", "/", "/", "--unshare-all", "true"),
    "skopeo": _program("skopeo"),
    "docker-registry": _program("docker-registry"),
    "openssl": _program("openssl", "version"),
    "squashfs": _squashfs,
    "ext3": _ext3,
    "umoci": _program("umoci"),
    "buildah": _program("buildah"),
    # Without a daemon: `docker manifest` speaks to registries itself.
    "docker-cli": _program("docker"),
    "mmdebstrap": _program("mmdebstrap"),
    "git": _program("git"),
    "gcc": _program("gcc"),
    "sqlite3": _program("sqlite3"),
    "tmux": _program("tmux", "-V"),
    "vi": _program("vi", "--version"),
    "top": _program("top", "-v"),
    "less": _program("less", "--version"),
    "zstd": _program("zstd"),
    "busybox": _program("busybox", "true"),
    "pasta": _program("pasta"),
    "slirp4netns": _program("slirp4netns"),
}


@cache
def lacking(feature: str) -> str | None:
    """Why this machine cannot offer `feature`, or None. Raises KeyError for a feature that has no
    probe."""
    return PROBES[feature]()
