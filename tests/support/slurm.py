"""A Slurm of one node that an ordinary account starts and stops: munged, slurmctld and slurmd in the foreground, with a
configuration, a key and ports of their own, and without control groups."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

from tests.support.ports import free_port
from tests.support.waiting import wait_until

KILL_WAIT = 2
"""Seconds between SIGTERM and SIGKILL of a cancelled job."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={directory}/munge
CredType=cred/munge
SlurmdSpoolDir={directory}/spool
StateSaveLocation={directory}/state
TmpFS={directory}/tmp
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
KillWait={kill_wait}
MailProg=/bin/true
NodeName=node NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES OverSubscribe=FORCE:8 State=UP
"""


class Slurm:
    """`env` has what the commands of Slurm need. A context, in which the node is up."""

    def __init__(self) -> None:
        # A short path: it is part of a socket's.
        self.directory = Path(tempfile.mkdtemp(prefix="slurm"))
        self.configuration = self.directory / "slurm.conf"
        self.env = {
            **os.environ,
            "PATH": f"{os.environ.get('PATH', '')}:{_PATH}",
            "SLURM_CONF": str(self.configuration),
        }
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _start(self) -> None:
        # Slurm's plugin for PMIx makes a directory in TmpFS that is named after the job and the step, and does not start the step
        # if it is there: of another Slurm of this account, or of one that was killed.
        for name in ("spool", "state", "tmp"):
            (self.directory / name).mkdir()
        self.configuration.write_text(
            _CONFIGURATION.format(
                host=socket.gethostname().split(".")[0],
                controller_port=free_port(),
                node_port=free_port(),
                user=getpass.getuser(),
                directory=self.directory,
                kill_wait=KILL_WAIT,
                cpus=os.cpu_count(),
            )
        )
        # Found out by itself, it fails where no control group is mounted.
        (self.directory / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        key = self.directory / "key"
        key.touch(0o600)
        key.write_bytes(os.urandom(1024))
        files = {"key-file": "key", "socket": "munge", "pid-file": "pid", "log-file": "log"}
        options = [f"--{name}={self.directory / file}" for name, file in files.items()]
        options.append(f"--seed-file={self.directory / 'seed'}")
        munged = self._daemon("munged", "--foreground", "--force", *options)
        wait_until((self.directory / "munge").exists, alive=munged)
        self._daemon("slurmctld", "-D")
        node = self._daemon("slurmd", "-D", "-N", "node")
        wait_until(self._is_idle, alive=node)

    def _daemon(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.directory / f"{words[0]}.log").open("wb") as log:
            daemon = subprocess.Popen(
                words, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._daemons.append(daemon)
        return daemon

    def _is_idle(self) -> bool:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"],
            env={**self.env, "SLURM_TIMEOUT": "5"},
            capture_output=True,
            timeout=120,
            check=False,
        )
        return done.stdout.strip() == b"idle"

    def processes(self, job: str) -> list[str]:
        """The command lines of the processes with the environment of a job."""
        found = []
        for process in Path("/proc").iterdir():
            try:
                environment = (process / "environ").read_bytes().split(b"\0")
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if f"SLURM_JOB_ID={job}".encode() in environment:
                found.append(command.replace(b"\0", b" ").decode())
        return found

    def stop(self) -> None:
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(120)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()
        shutil.rmtree(self.directory, ignore_errors=True)


if __name__ == "__main__":
    with Slurm() as slurm:
        sys.exit(
            subprocess.run(["srun", "true"], env=slurm.env, timeout=120, check=False).returncode
        )
