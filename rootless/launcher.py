"""Detects the launcher of parallel programs that has started this process, by its environment: Open MPI's mpirun,
MPICH's hydra, Slurm, Flux, or another one that speaks PMIx. Pure.
"""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIXES = (
    "FLUX_",
    "HYDI_",
    "HYDRA_",
    "I_MPI_",
    "MPICH_",
    "MPIEXEC_",
    "MPIR_",
    "MPI_LOCAL",
    "OMPI_",
    "OPAL_",
    "PALS_",
    "PMIX_",
    "PMI_",
    "PRTE_",
    "SLURM_",
    "UCX_",
)
_WIRE = ("PMI_", "PMIX_", "OMPI_")
"""Of the variables by which an MPI library finds the other ranks."""
_DIRECTORIES = (
    "PMIX_SERVER_TMPDIR",
    "PMIX_SYSTEM_TMPDIR",
    "PMIX_DSTORE_21_BASE_PATH",
    "PMIX_DSTORE_ESH_BASE_PATH",
    "OMPI_MCA_orte_top_session_dir",
)


class Launch(NamedTuple):
    """The ranks of a step on this node: a tag that they have in common, and `local_size`, their number, 0 if it is not
    known. `rank` and `size` are those of the whole step.
    """

    launcher: str
    tag: str
    local_size: int
    rank: int
    size: int


def launch_of(environ: Mapping[str, str], parent: str) -> Launch | None:
    """The step that this process belongs to; None if no launcher has started it. `parent` names its parent process."""
    has = environ.__contains__
    if has("OMPI_COMM_WORLD_LOCAL_SIZE"):
        job = environ.get("PMIX_NAMESPACE") or environ.get("OMPI_MCA_ess_base_jobid") or parent
        count = _number(environ, "OMPI_COMM_WORLD_LOCAL_SIZE")
        return _launch("Open MPI", job, count, environ, "OMPI_COMM_WORLD")
    if has("MPI_LOCALNRANKS") or (has("PMI_RANK") and (has("HYDI_CONTROL_FD") or has("PMI_PORT"))):
        count = _number(environ, "MPI_LOCALNRANKS")
        return _launch("hydra", parent, count, environ, "PMI")
    if has("SLURM_PROCID") and has("SLURM_STEP_ID") and has("SLURM_JOB_ID"):
        step = f"{environ['SLURM_JOB_ID']}.{environ['SLURM_STEP_ID']}"
        count = tasks_on_node(
            environ.get("SLURM_STEP_TASKS_PER_NODE", ""), _number(environ, "SLURM_NODEID")
        )
        rank = _number(environ, "SLURM_PROCID")
        size = _number(environ, "SLURM_STEP_NUM_TASKS") or _number(environ, "SLURM_NTASKS")
        return Launch("Slurm", step, count, rank, size)
    if has("FLUX_JOB_ID") and has("FLUX_TASK_RANK"):
        size = _number(environ, "FLUX_JOB_SIZE")
        count = size if _number(environ, "FLUX_JOB_NNODES") == 1 else 0
        return Launch(
            "Flux", environ["FLUX_JOB_ID"], count, _number(environ, "FLUX_TASK_RANK"), size
        )
    if has("PMIX_NAMESPACE") and has("PMIX_RANK"):
        return Launch("PMIx", environ["PMIX_NAMESPACE"], 0, _number(environ, "PMIX_RANK"), 0)
    return None


def _launch(name: str, tag: str, count: int, environ: Mapping[str, str], prefix: str) -> Launch:
    return Launch(
        name, tag, count, _number(environ, f"{prefix}_RANK"), _number(environ, f"{prefix}_SIZE")
    )


def tasks_on_node(text: str, node: int) -> int:
    """The tasks of the node with this index by Slurm's notation: `2(x3),1` are two on each of three nodes, then one.
    0 if the text is none of that.
    """
    for part in text.split(","):
        tasks, _, times = part.partition("(x")
        repeated = times.removesuffix(")") or "1"
        if not tasks.isdecimal() or not repeated.isdecimal():
            return 0
        if node < int(repeated):
            return int(tasks)
        node -= int(repeated)
    return 0


def launcher_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a rank needs in its container."""
    return {name: text for name, text in environ.items() if name.startswith(_PREFIXES)}


def has_pmix_server(environ: Mapping[str, str]) -> bool:
    """Whether a PMIx server waits for this process: by one variable for each version of the protocol."""
    return any(name.startswith("PMIX_SERVER_URI") for name in environ)


def launcher_directories(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The directories in which the launcher and its ranks have files, absolute, none below another one."""
    found = sorted({environ.get(name, "").rstrip("/") for name in _DIRECTORIES})
    kept: list[str] = []
    for path in found:
        if path.startswith("/") and not any(path.startswith(f"{each}/") for each in kept):
            kept.append(path)
    return tuple(kept)


def launcher_descriptors(environ: Mapping[str, str]) -> tuple[int, ...]:
    """Descriptors by which a rank speaks with its launcher."""
    text = environ.get("PMI_FD", "")
    return (int(text),) if text.isdecimal() and int(text) > 2 else ()


def warning_of(launch: Launch | None, environ: Mapping[str, str], *, joins: bool) -> str:
    """What is wrong with a run of this step, of which only rank 0 tells; else empty. `joins`: the ranks share a
    container, and have the variables of the launcher.
    """
    if launch is None or launch.rank != 0 or launch.size < 2:
        return ""
    can_connect = any(name.startswith(_WIRE) for name in environ)
    if not joins and can_connect:
        return (
            f"this is one of {launch.size} ranks of {launch.launcher}, and the container does not get the variables of "
            "the launcher: an MPI program is a world of one rank in each; use --join"
        )
    if joins and not can_connect and launch.launcher == "Slurm":
        return (
            f"this is one of {launch.size} ranks of a Slurm step without PMI: an MPI program is a world of one rank in "
            "each; use srun --mpi=pmix or --mpi=pmi2"
        )
    return ""


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    return int(text) if text.isdecimal() else 0
