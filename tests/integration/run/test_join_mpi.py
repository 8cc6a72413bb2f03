"""MPI programs of the ranks of mpiexec, in one container."""

import shutil
import subprocess
import sys

import pytest

from tests.support.command import run_command

pytestmark = [
    pytest.mark.needs("userns", "fuse"),
    pytest.mark.skipif(
        shutil.which("mpiexec.hydra") is None or shutil.which("mpicc.mpich") is None,
        reason="no MPICH",
    ),
]

PROGRAM = r"""
#include <mpi.h>
#include <stdio.h>
int main(int argc, char **argv) {
    int rank, size, sum = 0;
    static char data[4 << 20];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (size > 1 && rank == 0) MPI_Send(data, sizeof data, MPI_CHAR, 1, 0, MPI_COMM_WORLD);
    if (size > 1 && rank == 1) MPI_Recv(data, sizeof data, MPI_CHAR, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    printf("%d of %d: %d\n", rank, size, sum);
    MPI_Finalize();
    return 0;
}
"""


@pytest.fixture
def program(tmp_path):
    source = tmp_path / "program.c"
    source.write_text(PROGRAM)
    subprocess.run(["mpicc.mpich", "-o", tmp_path / "program", source], check=True, timeout=120)
    return tmp_path / "program"


def mpiexec(rootless, program, *options):
    """Three ranks in the machine's own root file system, where the MPI library is."""
    run = [sys.executable, "-m", "rootless", "run", *options, "--rootfs", "/"]
    mount = ["-v", f"{program.parent}:/mnt", "/mnt/program"]
    return run_command(["mpiexec.hydra", "-n", "3", *run, *mount], env=rootless.env, timeout=120)


def test_ranks_of_mpich_find_each_other(rootless, program):
    done = mpiexec(rootless, program, "--join").ok()
    assert sorted(done.stdout.splitlines()) == [f"{rank} of 3: 3" for rank in range(3)]
    assert done.stderr == ""


def test_without_join_each_is_a_world_of_its_own_and_is_told(rootless, program):
    done = mpiexec(rootless, program, "--rm").ok()
    assert done.stdout.splitlines() == ["0 of 1: 0"] * 3
    assert len(done.stderr.splitlines()) == 1
    assert "use --join" in done.stderr
