"""Debian root file systems, made once for an account and kept in its cache: one with package files, one with
the services that SERVICES names, one with CLIENTS of networks, and one with what TOOLCHAIN names.

Made from the archive that this machine's apt is set up for, in mmdebstrap's unshare mode: no root. With the first come the .deb
files of a few packages that are not installed, so that a test can install them without a network.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

# A set-group-id program, a set-user-id one, a daemon with files of an account of its own, and postinst scripts of all sorts.
PACKAGES = ("cron", "man-db", "openssh-server", "sudo")
SERVICES = ("postgresql", "redis-server", "nginx-light")
CLIENTS = ("bind9-dnsutils", "curl", "iperf3")
TOOLCHAIN = ("gcc", "libc6-dev", "nodejs", "npm")
BUILD_SECONDS = 1200
SHARED = Path("/var/lib/rootless-test")
"""Where root puts a copy for accounts that cannot make one: without subordinate ids mmdebstrap has no way."""

_HOOK = (
    'chroot "$1" apt-get install -qq -y --download-only --no-install-recommends '
    + " ".join(PACKAGES)
    + " && "
    'mkdir -p "$1/srv/debs" && mv "$1"/var/cache/apt/archives/*.deb "$1/srv/debs/"'
)


def _release() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    names = dict(line.split("=", 1) for line in lines if "=" in line)
    return names["VERSION_CODENAME"].strip('"')


def _mirror() -> str:
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    found = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120
    ).stdout.split()
    return next(uri for uri in found if "security" not in uri)


def _command(target: Path, own: str) -> list[str]:
    """The making of one; `own` is the option that only this one has."""
    excluded = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
    options = [f"--dpkgopt=path-exclude={path}" for path in excluded]
    return [
        "mmdebstrap",
        "--quiet",
        "--mode=unshare",
        "--variant=minbase",
        *options,
        '--aptopt=Acquire::Retries "3"',
        own,
        _release(),
        str(target),
        _mirror(),
    ]


def cache_directory() -> Path:
    """Where the suite keeps what is worth keeping between runs: the account's, for the tree may be someone else's."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rootless-tests"


def debian_tar(cache: Path) -> Path:
    """The root file system as a tar, from the cache or made now. Raises RuntimeError with mmdebstrap's last words."""
    return _made("debian", cache, f"--customize-hook={_HOOK}")


def services_tar(cache: Path) -> Path:
    """As `debian_tar`, with SERVICES installed."""
    return _made("services", cache, f"--include={','.join(SERVICES)}")


def clients_tar(cache: Path) -> Path:
    """As `debian_tar`, with CLIENTS installed."""
    return _made("clients", cache, f"--include={','.join(CLIENTS)}")


def toolchain_tar(cache: Path) -> Path:
    """As `debian_tar`, with TOOLCHAIN installed."""
    return _made("toolchain", cache, f"--include={','.join(TOOLCHAIN)}")


def _made(kind: str, cache: Path, own: str) -> Path:
    recipe = repr(_command(Path("debian.tar"), own))
    name = f"{kind}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"
    if (SHARED / name).exists():
        return SHARED / name
    target = cache / name
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f"{kind}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            unfinished = target.with_suffix(".new.tar")
            done = subprocess.run(
                _command(unfinished, own),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=BUILD_SECONDS,
            )
            if done.returncode:
                raise RuntimeError(f"mmdebstrap: {done.stderr.strip()[-500:]}")
            os.replace(unfinished, target)
    return target


if __name__ == "__main__":
    print(debian_tar(cache_directory()))
    print(services_tar(cache_directory()))
