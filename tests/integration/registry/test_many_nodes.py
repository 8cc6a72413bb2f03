"""Many runs of an image that start at once, on one node and on nodes with one store: it is fetched once."""

import subprocess
import sys

import pytest

from tests.support.registry import Fault, paced

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")
RUNS = 50


@pytest.mark.parametrize("nodes", [1, 5])
def test_runs_that_start_at_once_fetch_an_image_once(
    rootless, registry, busybox_image, tmp_path, nodes
):
    registry.put_image("app", "1", [busybox_image.read_bytes()])
    registry.faults.append(Fault("GET .*/blobs/.*", paced(registry, 10, 0.1)))
    command = [sys.executable, "-m", "rootless", "run", "--rm", "--network", "none"]
    command += [f"{registry.host}/app:1", "hostname"]
    processes = []
    for number in range(RUNS):
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
    for each in processes:
        out, complaint = each.communicate(timeout=120)
        assert (each.returncode, len(out.strip())) == (0, 12), complaint.decode()
    blobs = [each.path for each in registry.asked("GET .*/blobs/.*")]
    assert len(blobs) == len(set(blobs)) == 2, sorted(blobs)
