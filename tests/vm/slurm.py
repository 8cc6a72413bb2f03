"""In the guest, as an ordinary user: containers in jobs of a Slurm that limits them by control groups."""

import shlex
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, "/project/tree")

from harness import check, main, wait_until

from tests.support.images import busybox_tar

WORK = Path.home() / "jobs"
STEPS = Path("/sys/fs/cgroup/system.slice")
ENGINE = (sys.executable, "-m", "rootless")
RUN = (*ENGINE, "run", "--rm", "--network", "none", "box:1")
HPC = (*ENGINE, "hpc", "exec", "box:1")
KINDS = {"run": RUN, "hpc": HPC}
JOB = ("-c1", "--mem=200")
WAIT = 300
"""Seconds, of which emulated processors need most."""
READY = "echo ready; "
long_jobs = []


def call(*command, status=0):
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT, check=False, cwd=WORK
    )
    assert status is None or done.returncode == status, done
    return done


def srun(*command, options=JOB, status=0):
    return call("srun", *options, *command, status=status)


def submit(script, *options):
    """The number of a batch job whose script is these lines of shell."""
    (WORK / "job").write_text(f"#!/bin/sh\n{script}\n")
    return call("sbatch", "--parsable", *JOB, *options, "job").stdout.strip()


def step(*command):
    """A step of a job, as a line of its script."""
    return shlex.join(["srun", "--unbuffered", *command])


def output(name, word):
    """Wait for a word in the output of a job."""
    path = WORK / name
    return wait_until(lambda: path.exists() and word in (text := path.read_text()) and text, WAIT)


def processes(job):
    """The command lines of the processes that a job has left."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if f"SLURM_JOB_ID={job}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" "))
        except OSError:
            continue
    return found


def groups(job):
    while True:
        try:
            return [str(path) for path in STEPS.rglob(f"job_{job}")]
        except FileNotFoundError:
            continue  # a group was removed while the tree was read


def nothing_stays(job):
    wait_until(lambda: not processes(job) and not groups(job), WAIT)
    assert call(*ENGINE, "ps", "-aq").stdout == ""
    assert "rootless" not in Path("/proc/self/mounts").read_text()


@check
def node_is_up():
    WORK.mkdir()

    def idle():
        return call("sinfo", "--noheader", "--format=%T", status=None).stdout.strip() == "idle"

    wait_until(idle, WAIT)
    busybox_tar(WORK / "root.tar")
    call(*ENGINE, "import", str(WORK / "root.tar"), "box:1")


@check
def job_over_its_time_begins():
    """Slurm counts minutes: what becomes of it is looked at last."""
    command = step(
        *HPC, "sh", "-c", f"trap 'echo saved; exit 0' TERM; {READY}while :; do sleep 1; done"
    )
    long_jobs.append(submit(command, "--time=1", "--output=long"))
    output("long", "ready")


@check
def container_has_the_processors_of_its_job():
    for kind, command in KINDS.items():
        assert srun(*command, "nproc").stdout == "1\n", kind


@check
def status_of_the_command_is_that_of_the_step():
    for command in KINDS.values():
        for end, status in (("exit 7", 7), ("sh -c 'kill -9 $$'; exit $?", 128 + 9)):
            srun(*command, "sh", "-c", end, status=status)


@check
def memory_above_that_of_the_job_is_killed_and_told():
    told = []
    for kind, command in KINDS.items():
        done = srun(
            *command, "dd", "if=/dev/zero", "of=/dev/null", "bs=300M", "count=1", status=None
        )
        assert done.returncode not in (0, 125), (kind, done)
        assert "oom" in done.stderr.lower() or "out of memory" in done.stderr.lower(), (kind, done)
        told.append(f"{kind}: {done.returncode}")
    return ", ".join(told)


@check
def job_with_little_memory_ends():
    """Slurm gives it 30 MB at least (MinRAMSpace)."""
    done = srun(*RUN, "nproc", options=("-c1", "--mem=30"), status=None)
    assert done.returncode or done.stdout == "1\n", done
    return f"status {done.returncode} {done.stderr.strip()[-300:]!r}"


@check
def tasks_of_an_array_run_their_steps():
    lines = step(*HPC, "sh", "-c", "echo $SLURM_ARRAY_TASK_ID.$SLURM_STEP_ID")
    submit(lines, "--wait", "--array=1-2", "--output=array%a")
    assert [(WORK / f"array{n}").read_text() for n in (1, 2)] == ["1.0\n", "2.0\n"]


@check
def signal_reaches_the_command():
    script = f"trap 'echo got it; exit 5' USR1; {READY}while :; do sleep 0.1; done"
    job = submit(step(*RUN, "sh", "-c", script), "--output=signal")
    output("signal", "ready")
    call("scancel", "--signal=USR1", f"{job}.0")
    output("signal", "got it")
    everything_of_it_ends(job)


def everything_of_it_ends(job):
    wait_until(lambda: not processes(job) and not groups(job), WAIT)


@check
def nothing_stays_of_jobs_that_are_cancelled_or_killed():
    for kind, end in (("hpc", "cancelled"), ("run", "killed")):
        name = f"{end}-{kind}"
        script = f"trap '' TERM; {READY}sleep 1000 & while :; do sleep 1; done"
        job = submit(step(*KINDS[kind], "sh", "-c", script), f"--output={name}")
        output(name, "ready")
        assert processes(job)
        assert groups(job)
        call("scancel", *(["--signal=KILL", f"{job}.0"] if end == "killed" else [job]))
        everything_of_it_ends(job)


@check
def job_over_its_time_is_ended_and_nothing_stays():
    output("long", "TIME LIMIT")
    nothing_stays(long_jobs[0])


main()
