"""MPI programs as the ranks of one container: `hpc exec --sharens` and `run --join` under Slurm and under the launchers of
MPICH and Open MPI.

The image is the machine's own root, which has the libraries that the program was built with.
"""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox", "slurm")

PROGRAM = r"""
#include <mpi.h>
#include <stdio.h>
static char block[1 << 20];
int main(int argc, char **argv)
{
    int rank, size, sum;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (size == 2 && rank == 0)
        MPI_Send(block, sizeof block, MPI_CHAR, 1, 0, MPI_COMM_WORLD);
    if (size == 2 && rank == 1)
        MPI_Recv(block, sizeof block, MPI_CHAR, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    printf("%d of %d, sum %d\n", rank, size, sum);
    MPI_Finalize();
    return 0;
}
"""
LAUNCHES = [
    pytest.param(library, launcher, id=f"{library}-{launcher[0]}", marks=pytest.mark.needs(library))
    for library, launcher in (
        ("mpich", ("srun", "--mpi=pmi2", "-n2", "-O")),
        ("mpich", ("mpirun.mpich", "-n", "2")),
        ("openmpi", ("srun", "--mpi=pmix", "-n2", "-O")),
        ("openmpi", ("mpirun.openmpi", "--oversubscribe", "-n", "2")),
    )
]


@pytest.fixture
def launch(cluster, tmp_path):
    """The standard output of the program, built with a library, in the container of `command` under a launcher."""

    def run(library, launcher, command):
        source, program = tmp_path / "ranks.c", cluster.cwd / "ranks"
        source.write_text(PROGRAM)
        subprocess.run([f"mpicc.{library}", "-o", program, source], check=True, timeout=120)
        done = subprocess.run(
            [*launcher, *command, program],
            env=cluster.env,
            cwd=cluster.cwd,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, bool(done.stdout)) == (0, True), done.stderr
        assert "CMA" not in done.stderr
        return sorted(done.stdout.splitlines())

    return run


@pytest.mark.parametrize(("library", "launcher"), LAUNCHES)
def test_the_ranks_find_each_other(cluster, launch, library, launcher):
    bind = os.environ.get("TMPDIR", "/tmp")
    command = cluster.argv("exec", "--sharens", "-B", bind, "/")
    assert launch(library, launcher, command) == ["0 of 2, sum 1", "1 of 2, sum 1"]


@pytest.mark.parametrize(("library", "launcher"), LAUNCHES)
def test_the_ranks_of_run_join_find_each_other(cluster, launch, library, launcher):
    run = [sys.executable, "-m", "rootless", "run", "--join"]
    command = [*run, "-v", f"{cluster.cwd}:{cluster.cwd}", "--rootfs", "/"]
    assert launch(library, launcher, command) == ["0 of 2, sum 1", "1 of 2, sum 1"]
