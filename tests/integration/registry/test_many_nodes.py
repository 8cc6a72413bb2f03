"""Many runs of an image that start at once, on one node and on nodes with one store: it is fetched once, or, where nodes
do not see each other's locks, once on each."""

import subprocess
import sys
from collections import Counter

import pytest

from tests.support.plain_disk import plain_disk
from tests.support.registry import Fault, paced

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")
RUNS = 50


@pytest.mark.parametrize("nodes", [1, 5])
def test_runs_that_start_at_once_fetch_an_image_once(
    rootless, registry, busybox_image, tmp_path, nodes
):
    processes = start_on_nodes(rootless, registry, busybox_image, tmp_path, RUNS, nodes)
    for each in processes:
        out, complaint = each.communicate(timeout=120)
        assert (each.returncode, len(out.strip())) == (0, 12), complaint.decode()
    blobs = [each.path for each in registry.asked("GET .*/blobs/.*")]
    assert len(blobs) == len(set(blobs)) == 2, sorted(blobs)


@pytest.mark.needs("fusermount")
def test_nodes_that_do_not_see_each_others_locks_fetch_an_image_once_each(
    rootless, registry, busybox_image, tmp_path
):
    nodes = 3
    with plain_disk(tmp_path, "locks") as disk:
        store = ("--root", f"{disk}/store")
        processes = start_on_nodes(rootless, registry, busybox_image, tmp_path, 9, nodes, *store)
        for each in processes:
            out, complaint = each.communicate(timeout=120)
            assert (each.returncode, len(out.strip())) == (0, 12), complaint.decode()
        rootless(*store, "system", "check").ok()
        assert list((disk / "store/partial").iterdir()) == []
    blobs = Counter(each.path for each in registry.asked("GET .*/blobs/.*"))
    assert len(blobs) == 2
    assert max(blobs.values()) <= nodes


def start_on_nodes(rootless, registry, image, tmp_path, runs, nodes, *options):
    """Runs of an image on nodes in turn, each with a host name and a runtime directory of its own."""
    registry.put_image("app", "1", [image.read_bytes()])
    registry.faults.append(Fault("GET .*/blobs/.*", paced(registry, 10, 0.1)))
    command = [sys.executable, "-m", "rootless", *options, "run", "--rm", "--network", "none"]
    command += [f"{registry.host}/app:1", "hostname"]
    processes = []
    for number in range(runs):
        node = f"node{number % nodes}"
        runtime = tmp_path / node
        runtime.mkdir(mode=0o700, exist_ok=True)
        script = 'hostname "$1"; shift; exec "$@"'
        argv = ["unshare", "--user", "--map-current-user", "--keep-caps", "--uts"]
        argv += ["sh", "-c", script, "sh", node, *command]
        processes.append(
            subprocess.Popen(
                argv,
                env=rootless.env | {"XDG_RUNTIME_DIR": str(runtime)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        rootless.started.append(processes[-1])
    return processes
