"""In the guest, as an ordinary user whose home is on NFS (VM_NFS): images, containers and volumes, and what goes wrong there.

The server is in the guest too, so that a check can remove files there behind the client.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, "/project/tree")

from harness import check, main, wait_until

from tests.support.images import busybox_tar
from tests.support.registry import FakeRegistry, Fault, paced, serving

WORK = Path.home() / "nfs"
STORE = Path.home() / ".local/share/rootless"
ON_SERVER = Path("/srv/home/alice/.local/share/rootless")
KILLS = 4
registry = FakeRegistry()


def start(*arguments):
    command = [sys.executable, "-m", "rootless", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def start_on_other(*arguments):
    """On a machine with the same home: another client of the server, and nothing else of this one's."""
    runtime = Path(os.environ["XDG_RUNTIME_DIR"], "other")
    runtime.mkdir(mode=0o700, exist_ok=True)
    script = f'hostname other; mount --bind /srv/other "$HOME"; cd; export XDG_RUNTIME_DIR={runtime}; exec "$@"'
    command = ["unshare", "--user", "--map-current-user", "--keep-caps", "--uts", "--mount"]
    command += ["sh", "-ec", script, "sh", sys.executable, "-m", "rootless", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def engine(*arguments, status=0):
    process = start(*arguments)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == status, (arguments, process.returncode, out, errors)
    return errors if status else out


def shell(script, *options, image="box:1"):
    return engine("run", "--rm", *options, image, "sh", "-ec", script)


def pull(*, status=0):
    return engine("pull", "-q", "--tls-verify=false", f"{registry.host}/box:1", status=status)


def one_line(errors):
    """The error of a command that failed: one line, and at most one hint."""
    lines = [line for line in errors.splitlines() if line]
    assert 1 <= len(lines) <= 2, errors
    assert lines[0].startswith("rootless: "), errors
    assert len(lines) == 1 or lines[1].startswith("hint: "), errors
    assert "Traceback" not in errors
    assert "unexpected" not in errors
    return " | ".join(lines)


@check
def home_is_on_nfs():
    found = subprocess.check_output(["stat", "-f", "-c", "%T", str(Path.home())], text=True)
    assert found == "nfs\n", found
    return Path("/project/nfs").read_text().strip()


@check
def image_is_pulled_run_committed_and_saved():
    WORK.mkdir()
    busybox_tar(WORK / "root.tar")
    registry.put_image("box", "1", [(WORK / "root.tar").read_bytes()])
    pull()
    engine("tag", f"{registry.host}/box:1", "box:1")
    engine("run", "--name", "c1", "box:1", "sh", "-ec", "echo changed >/file; rm /bin/vi; mkdir /d")
    engine("commit", "c1", "changed")
    engine("rm", "c1")
    engine("save", "-o", str(WORK / "image.tar"), "changed")
    engine("rmi", "changed")
    engine("load", "-q", "-i", str(WORK / "image.tar"))
    assert shell("cat /file; ! test -e /bin/vi", image="changed") == "changed\n"
    engine("tag", "changed", f"{registry.host}/changed:1")
    engine("push", "-q", "--tls-verify=false", f"{registry.host}/changed:1")
    engine("rmi", f"{registry.host}/changed:1")


@check
def two_pulls_at_once_share_an_image():
    engine("rmi", f"{registry.host}/box:1", "box:1", "changed")
    engine("image", "prune", "-f")
    before = len(registry.asked("GET /v2/box/blobs/.*"))
    both = [start("pull", "-q", "--tls-verify=false", f"{registry.host}/box:1") for _ in range(2)]
    for each in both:
        errors = each.communicate(timeout=300)[1]
        assert each.returncode == 0, errors
    engine("tag", f"{registry.host}/box:1", "box:1")
    assert shell("echo again") == "again\n"
    return f"{len(registry.asked('GET /v2/box/blobs/.*')) - before} blobs were asked for"


@check
def runs_that_start_at_once_on_two_machines_fetch_an_image_once_or_without_locks_once_each():
    told = "it has no locks: change it from one machine at a time"
    machines = 1 + (told in start("doctor").communicate(timeout=200)[0])
    assert machines == 1 + Path("/project/nfs").read_text().startswith("3")
    layer = (WORK / "root.tar").read_bytes()
    registry.put_image("nodes", "1", [layer + b"\0" * 512])
    registry.faults.append(Fault(r"GET /v2/nodes/blobs/.*", paced(registry, 10, 0.1)))
    runs = []
    for number in range(4):
        command = ["run", "--rm", "--network", "none", f"{registry.host}/nodes:1", "hostname"]
        runs.append((start_on_other if number % 2 else start)(*command))
    for each in runs:
        out, errors = each.communicate(timeout=300)
        assert (each.returncode, len(out.strip())) == (0, 12), errors
    registry.faults.clear()
    blobs = Counter(each.path for each in registry.asked("GET /v2/nodes/blobs/.*"))
    assert max(blobs.values()) <= machines, blobs
    engine("system", "check")
    engine("rmi", f"{registry.host}/nodes:1")
    return f"{blobs.total()} requests for {len(blobs)} blobs"


@check
def volume_is_shared_by_containers():
    engine("run", "-d", "--name", "one", "-v", "shared:/v", "box:1", "sleep", "1000")
    shell("echo from two >/v/file; ln /v/file /v/other; rm /v/file", "-v", "shared:/v")
    assert engine("exec", "one", "cat", "/v/other") == "from two\n"
    engine("rm", "-f", "one")
    engine("volume", "rm", "shared")


@check
def file_that_is_removed_while_it_is_open_leaves_nothing():
    script = (
        "exec 3>/held; echo data >&3; rm /held; ls -a / | grep -c nfs || true; mkdir /d; rmdir /d"
    )
    engine("run", "--name", "held", "box:1", "sh", "-ec", script)
    assert "held" not in engine("diff", "held")
    engine("rm", "held")
    left = [str(path) for path in STORE.rglob(".nfs*")]
    assert left == [], left


def killed(*arguments):
    """Kill a command, and what it has started, after each of some times."""
    for number in range(KILLS):
        process = start(*arguments)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.7 * (number + 1))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=300)


@check
def pulls_that_are_killed_leave_a_store_that_works():
    engine("rmi", f"{registry.host}/box:1", "box:1")
    engine("image", "prune", "-f")
    killed("pull", "-q", "--tls-verify=false", f"{registry.host}/box:1")
    pull()
    engine("tag", f"{registry.host}/box:1", "box:1")
    assert shell("echo whole") == "whole\n"
    engine("system", "check")


@check
def commits_that_are_killed_leave_a_store_that_works():
    script = "dd if=/dev/urandom of=/data bs=1M count=4 2>/dev/null; rm /bin/vi"
    engine("run", "--name", "c2", "box:1", "sh", "-ec", script)
    killed("commit", "c2", "half")
    engine("commit", "c2", "whole")
    assert shell("wc -c </data; ! test -e /bin/vi", image="whole") == f"{4 << 20}\n"
    engine("rm", "c2")
    engine("system", "check")


@check
def runs_that_are_killed_leave_nothing_in_the_way():
    killed("run", "--name", "again", "box:1", "sh", "-c", "echo x >/x; sleep 1000")
    engine("rm", "-f", "again", status=0)
    assert shell("echo x >/x; cat /x", "--name", "again") == "x\n"


@contextlib.contextmanager
def full_server(left):
    """The server's disk has about this many bytes left."""
    name = "/srv/home/alice/filler"
    space = os.statvfs("/srv/home")
    with open(name, "w") as file:
        os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - left)
    try:
        yield
    finally:
        os.unlink(name)


@check
def full_server_is_told_in_one_line_and_nothing_is_lost():
    engine("run", "--name", "c3", "box:1", "sh", "-ec", "dd if=/dev/urandom of=/data bs=1M count=8")
    told = []
    with full_server(4 << 20):
        told.append(one_line(engine("commit", "c3", "too-large", status=1)))
        # The error comes when the file is closed, whatever the layer syncs.
        script = "dd if=/dev/zero of=/more bs=1M count=16 2>&1 || echo failed; rm /more"
        for options in ([], ["--storage-opt", "sync=always"]):
            # The server keeps a file that it has just served open for some seconds.
            wait_until(lambda: os.statvfs("/srv/home").f_bavail * 4096 > 3 << 20)
            out = engine("run", "--rm", *options, "box:1", "sh", "-c", script)
            assert "No space left on device" in out, out
            assert out.endswith("failed\n"), out
    engine("commit", "c3", "large")
    assert shell("wc -c </data", image="large") == f"{8 << 20}\n"
    engine("rm", "c3")
    engine("system", "check")
    return told[0]


@check
def files_that_the_server_lost_are_told_in_one_line_by_exec_and_the_container_can_be_removed():
    engine("run", "-d", "--name", "c4", "box:1", "sleep", "1000")
    identity = engine("inspect", "-f", "{{.Id}}", "c4").strip()
    shutil.rmtree(ON_SERVER / "containers" / identity)
    process = start("exec", "c4", "true")
    errors = process.communicate(timeout=300)[1]
    told = one_line(errors) if process.returncode else "exec works"
    # What a client holds open lives on until its attributes are looked at again.
    process = start("rm", "-f", "c4")
    errors = process.communicate(timeout=300)[1]
    told += f" || rm: {one_line(errors) if process.returncode else 'works'}"
    return told


@check
def layer_that_the_server_lost_is_told_in_one_line_by_run():
    (STORE / "layers").stat()
    assert shell("echo cached") == "cached\n"
    for layer in (ON_SERVER / "layers").iterdir():
        shutil.rmtree(layer)
    for chain in (ON_SERVER / "chains").iterdir():
        shutil.rmtree(chain)
    # It is made of the image's blobs again, once the client knows that it has gone.
    process = start("run", "--rm", "box:1", "true")
    errors = process.communicate(timeout=300)[1]
    told = one_line(errors) if process.returncode else "made again"
    engine("rmi", "-f", f"{registry.host}/box:1", "box:1")
    engine("image", "prune", "-a", "-f")
    pull()
    assert engine("run", "--rm", f"{registry.host}/box:1", "echo", "mended") == "mended\n"
    return told


@check
def pull_whose_files_the_server_lost_is_told_in_one_line():
    engine("rmi", f"{registry.host}/box:1")
    engine("image", "prune", "-a", "-f")

    def lose(handler, request):
        for name in ("tmp", "partial"):
            shutil.rmtree(ON_SERVER / name, ignore_errors=True)
        return False

    registry.faults.append(Fault(r"GET /v2/box/blobs/.*", lose, times=2))
    process = start("pull", "-q", "--tls-verify=false", f"{registry.host}/box:1")
    errors = process.communicate(timeout=300)[1]
    told = one_line(errors) if process.returncode else "the pull went on"
    registry.faults.clear()
    pull()
    engine("system", "check")
    return told


with serving(registry):
    main()
