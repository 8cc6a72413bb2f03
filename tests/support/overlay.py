"""Trees to compare, in one user and mount namespace: a union under test, kernel overlayfs, a plain
directory.

A `Namespace` is a process that is root of a user namespace of its own, takes calls over a pipe, and
makes the mounts. The pipe has a bound on the time of an answer; whatever hangs is killed with the
namespace, by its process group.
"""

from __future__ import annotations

import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.support import probes
from tests.support.trees import LAYER_TIMES, Outcome, Row, Tree, build_lowers, outcome_of
from tests.support.waiting import wait_until

ANSWER_SECONDS = 60
MOUNT_SECONDS = 30

_OURS = (sys.executable, "-m", "unionfs", "-f", "--session")

_RENAMES = ("-o", "redirect_dir=on")
"""As on a plain directory, every directory can be renamed."""

UNIONS: dict[str, tuple[str, ...]] = {
    "device": (*_OURS, "device", *_RENAMES),
    "device, owners as data": (*_OURS, "device", *_RENAMES, "-o", "ownership=data"),
    "pyfuse3": (*_OURS, "pyfuse3", *_RENAMES),
    "fuse-overlayfs": ("fuse-overlayfs", "-f"),
}
"""Commands that serve a union in the foreground: our two sessions, and the peer that validates
the tests themselves."""


_WITH_CHECKOUT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
"""A worker has a directory of its own, and the servers are to come from here all the same."""


def _frame(stream: IO[bytes], value: object) -> None:
    payload = pickle.dumps(value)
    stream.write(len(payload).to_bytes(8, "big") + payload)
    stream.flush()


def _unframe(stream: IO[bytes]) -> Any:
    length = stream.read(8)
    if len(length) < 8:
        raise EOFError
    return pickle.loads(stream.read(int.from_bytes(length, "big")))


class Namespace:
    """The parent's side: calls methods of `Worker` in the namespace. Not for several threads."""

    def __init__(self, *, all_ids: bool) -> None:
        """`all_ids` maps the account's subordinate ids too, so that there are owners to change
        to."""
        ids = ["--map-auto"] if all_ids else []
        namespace = [
            "unshare",
            "--user",
            "--map-root-user",
            *ids,
            "--mount",
            "--propagation",
            "private",
        ]
        self._process = subprocess.Popen(
            [*namespace, sys.executable, "-m", "tests.support.overlay"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._out, self._in = self._process.stdin, self._process.stdout

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method of the worker. Raises what it raised, as RuntimeError; TimeoutError when
        nothing comes back."""
        _frame(self._out, (method, arguments))
        if not select.select([self._in], [], [], ANSWER_SECONDS)[0]:
            self.kill()
            raise TimeoutError(f"{method}{arguments}: no answer in {ANSWER_SECONDS} seconds")
        try:
            status, value = _unframe(self._in)
        except EOFError:
            raise RuntimeError(f"{method}{arguments}: the worker is gone") from None
        if status == "raised":
            raise RuntimeError(f"{method}{arguments} in the namespace:\n{value}")
        return value

    def kill(self) -> None:
        """End the worker and everything it started. The mounts go with the namespace.
        Idempotent."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._out.close()
        self._in.close()


@dataclass
class Mount:
    """A mounted union, and its server when there is a process of its own. `places` are the options
    that name the layers, `extra` those that only a command has."""

    point: Path
    places: str
    extra: str
    command: tuple[str, ...] | None
    log: Path
    server: subprocess.Popen[bytes] | None = None

    @property
    def options(self) -> str:
        if self.command is None:
            return f"userxattr,{self.places}"
        return ",".join(filter(None, (self.places, self.extra)))


@dataclass
class Worker:
    """The namespace's side. Trees are named; each call that compares is made on several of them."""

    base: Path = field(
        default_factory=lambda: Path(tempfile.mkdtemp(prefix="rl-", dir=tempfile.gettempdir()))
    )
    trees: dict[str, Tree] = field(default_factory=dict)
    mounts: dict[str, Mount] = field(default_factory=dict)
    lowers: dict[bool, list[Path]] = field(default_factory=dict)
    generation: int = 0

    def begin(self, unions: dict[str, Sequence[str] | None], extra: str, hard_links: bool) -> None:
        """Fresh trees over the same lowers: `unions` maps a name to the command that serves it
        (None: the kernel's overlayfs), and "plain" is a copy of what they merge to. `extra` are
        mount options for the commands."""
        if hard_links not in self.lowers:
            where = self.base / f"lowers-{int(hard_links)}"
            self.lowers[hard_links] = build_lowers(where, hard_links=hard_links)
        self.generation += 1
        here = self.base / str(self.generation)
        here.mkdir()
        lowerdir = ":".join(map(str, self.lowers[hard_links]))
        for name, command in unions.items():
            upper, work, point = (here / f"{name}-{part}" for part in ("upper", "work", "merged"))
            for directory in (upper, work, point):
                directory.mkdir()
            places = f"lowerdir={lowerdir},upperdir={upper},workdir={work}"
            served_by = None if command is None else tuple(command)
            self.mounts[name] = Mount(point, places, extra, served_by, here / f"{name}.log")
            os.utime(upper, ns=LAYER_TIMES)
            self._mount(self.mounts[name])
            self.trees[name] = Tree(str(point.relative_to(self.base)))
        self._copy_merged(here / "plain", lowerdir)
        os.utime(here / "plain", ns=LAYER_TIMES)
        self.trees["plain"] = Tree(f"{self.generation}/plain")

    def _copy_merged(self, target: Path, lowerdir: str) -> None:
        """What the lowers merge to, as the kernel sees it, in a plain directory."""
        pristine = self.base / f"pristine-{lowerdir.count(':')}"
        pristine.mkdir(exist_ok=True)
        subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", f"userxattr,lowerdir={lowerdir}", pristine],
            check=True,
        )
        try:
            subprocess.run(["cp", "-a", "--sparse=never", pristine, target], check=True)
        finally:
            subprocess.run(["umount", pristine], check=True)

    def _mount(self, mount: Mount) -> None:
        if mount.command is None:
            subprocess.run(
                ["mount", "-t", "overlay", "overlay", "-o", mount.options, mount.point], check=True
            )
            return
        with open(mount.log, "ab") as log:
            argv = [*mount.command, "-o", mount.options, str(mount.point)]
            mount.server = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_WITH_CHECKOUT
            )
        before = os.lstat(mount.point.parent).st_dev
        try:
            wait_until(
                lambda: os.lstat(mount.point).st_dev != before, MOUNT_SECONDS, alive=mount.server
            )
        except AssertionError as error:
            raise RuntimeError(f"{argv} did not mount:\n{mount.log.read_text()}") from error

    def _unmount(self, mount: Mount) -> None:
        subprocess.run(["umount", mount.point], check=True)
        if mount.server is not None:
            status = mount.server.wait(MOUNT_SECONDS)
            if status != 0:
                raise RuntimeError(
                    f"the server ended with status {status}:\n{mount.log.read_text()}"
                )
            mount.server = None

    def remount(self) -> None:
        """Unmount every union and mount it again, on what it left in its upper directory."""
        for tree in self.trees.values():
            tree.drop_all()
        for mount in self.mounts.values():
            self._unmount(mount)
            self._mount(mount)

    def hand_over(self, name: str, command: Sequence[str] | None) -> None:
        """Unmount a union and have it mounted, on the same upper, by another command or the
        kernel."""
        mount = self.mounts[name]
        self.trees[name].drop_all()
        self._unmount(mount)
        mount.command = None if command is None else tuple(command)
        self._mount(mount)

    def end(self) -> dict[str, str]:
        """Unmount and remove everything of this generation. Returns what each server wrote to its
        log."""
        for tree in self.trees.values():
            tree.drop_all()
        for mount in self.mounts.values():
            self._unmount(mount)
        logs = {
            name: mount.log.read_text() for name, mount in self.mounts.items() if mount.log.exists()
        }
        self.trees.clear()
        self.mounts.clear()
        here = self.base / str(self.generation)
        subprocess.run(["chmod", "-R", "u+rwx", here], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(here, ignore_errors=True)
        return logs

    def retire(self, name: str) -> None:
        """Take a tree out of the comparison."""
        self.trees.pop(name).drop_all()

    def apply(self, operation: str, arguments: Sequence[object], uid: int) -> dict[str, Outcome]:
        """Make the same call on every tree, as `uid` of the namespace."""
        outcomes = {}
        if uid:
            os.setegid(uid)
            os.seteuid(uid)
        try:
            for name, tree in self.trees.items():
                outcomes[name] = outcome_of(getattr(tree, operation), *arguments)
        finally:
            if uid:
                os.seteuid(0)
                os.setegid(0)
        return outcomes

    def apply_to(self, name: str, operation: str, arguments: Sequence[object]) -> Outcome:
        """Make a call on one tree."""
        return outcome_of(getattr(self.trees[name], operation), *arguments)

    def snapshots(self) -> dict[str, dict[str, Row]]:
        return {name: tree.snapshot() for name, tree in self.trees.items()}

    def plain_paths(self) -> tuple[dict[str, int], list[str]]:
        """Every path of the plain directory with its inode number, and which of them are
        directories."""
        return self.trees["plain"].paths()

    def finish(self) -> None:
        """Remove the lowers and the base directory."""
        subprocess.run(["rm", "-rf", self.base], check=False)


def serve() -> None:
    """Answer calls from standard input until it ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.umask(0o022)
    worker = Worker()
    # Trees are named relative to here, so that an other user of the namespace needs no way through
    # the directories above.
    os.chmod(worker.base, 0o755)
    os.chdir(worker.base)
    while True:
        try:
            method, arguments = _unframe(sys.stdin.buffer)
        except EOFError:
            worker.finish()
            return
        try:
            _frame(out, ("ok", getattr(worker, method)(*arguments)))
        except Exception:
            _frame(out, ("raised", traceback.format_exc()))


def several_ids() -> bool:
    """Has this account subordinate ids, so that there are owners to change to?"""
    return probes.lacking("subuid") is None


if __name__ == "__main__":
    serve()
