import pytest

from tests.support.cluster import Cluster
from tests.support.slurm import Slurm


@pytest.fixture(scope="session")
def slurm():
    with Slurm() as started:
        yield started


@pytest.fixture
def cluster(box, tmp_path, slurm):
    """A user of a cluster with Slurm, with the image box:1 of busybox."""
    user = Cluster(box, tmp_path)
    user.env = {**slurm.env, **user.env, "PATH": slurm.env["PATH"]}
    return user
