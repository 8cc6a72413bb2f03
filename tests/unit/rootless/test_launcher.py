"""Which launcher has started a process, by its variables."""

import pytest

from rootless.launcher import (
    Launch,
    has_pmix_server,
    launch_of,
    launcher_descriptors,
    launcher_directories,
    launcher_variables,
    tasks_on_node,
    warning_of,
)

SLURM = {
    "SLURM_JOB_ID": "17",
    "SLURM_STEP_ID": "3",
    "SLURM_PROCID": "5",
    "SLURM_NODEID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "4,2(x2)",
    "SLURM_STEP_NUM_TASKS": "8",
}
HYDRA = {"PMI_RANK": "1", "PMI_SIZE": "4", "PMI_FD": "9", "MPI_LOCALNRANKS": "2"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "0",
    "OMPI_COMM_WORLD_SIZE": "2",
    "PMIX_NAMESPACE": "prterun-1@1",
}
FLUX = {"FLUX_JOB_ID": "f2x", "FLUX_TASK_RANK": "1", "FLUX_JOB_SIZE": "4", "FLUX_JOB_NNODES": "1"}


@pytest.mark.parametrize(
    ("environ", "launch"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "17", "SLURM_PROCID": "0"}, None),  # a batch script
        (SLURM, Launch("Slurm", "17.3", 2, 5, 8)),
        (HYDRA, Launch("hydra", "parent", 2, 1, 4)),
        (OPEN_MPI, Launch("Open MPI", "prterun-1@1", 2, 0, 2)),
        (SLURM | HYDRA, Launch("hydra", "parent", 2, 1, 4)),  # mpirun in a job
        (FLUX, Launch("Flux", "f2x", 4, 1, 4)),
        ({"PMIX_NAMESPACE": "n", "PMIX_RANK": "3"}, Launch("PMIx", "n", 0, 3, 0)),
    ],
)
def test_launcher_by_its_variables(environ, launch):
    assert launch_of(environ, "parent") == launch


@pytest.mark.parametrize(
    ("text", "node", "tasks"),
    [("2(x3),1", 0, 2), ("2(x3),1", 2, 2), ("2(x3),1", 3, 1), ("4", 0, 4), ("4", 1, 0), ("", 0, 0), ("a(x", 0, 0)],
)  # fmt: skip
def test_tasks_of_a_node(text, node, tasks):
    assert tasks_on_node(text, node) == tasks


def test_what_a_rank_gets_of_its_launcher():
    environ = HYDRA | {"HOME": "/root", "PMIX_SERVER_TMPDIR": "/tmp/a/b", "SLURM_JOB_ID": "1"}
    environ["PMIX_SYSTEM_TMPDIR"] = "/tmp/a"
    assert "HOME" not in launcher_variables(environ)
    assert launcher_variables(environ).keys() == environ.keys() - {"HOME"}
    assert launcher_directories(environ) == ("/tmp/a",)
    assert launcher_descriptors(environ) == (9,)
    assert launcher_descriptors({"PMI_FD": "x"}) == ()


def test_rank_0_alone_tells_of_worlds_of_one_rank():
    first = HYDRA | {"PMI_RANK": "0"}
    told = warning_of(launch_of(first, "p"), first, joins=False)
    assert "one of 4 ranks of hydra" in told
    assert "--join" in told
    assert warning_of(launch_of(HYDRA, "p"), HYDRA, joins=False) == ""
    assert warning_of(launch_of(first, "p"), first, joins=True) == ""
    without = SLURM | {"SLURM_PROCID": "0"}
    assert "--mpi=pmix" in warning_of(launch_of(without, "p"), without, joins=True)


def test_pmix_server_is_known_by_its_address() -> None:
    assert has_pmix_server({"PMIX_SERVER_URI41": "pmix-server.1;tcp4://127.0.0.1:1"})
    assert not has_pmix_server({"PMIX_RANK": "0"} | HYDRA)
