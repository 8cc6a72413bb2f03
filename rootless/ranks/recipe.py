"""A recipe: the results of a rank that others with the same command line reuse.

    RUNROOT/join/<hash>.recipe         how ranks enter, and what that depends on; the hash is of step, command line, working
                                       directory and variables
    RUNROOT/join/<hash>.recipe.lock    held by the rank that writes it

Reading options, configuration files, and the record and the spec of the container takes longer than entering it. 64 ranks
that start at one time would all do it: one has the lock and does, and leaves all that it takes to enter, ready to use;
the others wait for it. A recipe holds for the same arguments, working directory, variables other than the launcher's,
and unchanged configuration files. The monitor removes it with the container.

What a rank needs to enter by a recipe does not import `os`: `rootless.runtime.enter` says why.
"""

from __future__ import annotations

import fcntl
import posix
import sys
from _stat import S_ISDIR, S_ISREG

from rootless.containers.rank_recipes import (
    SUFFIX,
    RankRecipe,
    read_recipe,
    state_of,
    write_recipe,
)
from rootless.launcher import launcher_descriptors, launcher_variables
from rootless.light_stdlib import socket, struct
from rootless.oci.digest import hex_of, sha256_digest
from rootless.paths import (
    SITE_CONFIGURATION,
    containers_conf_files,
    runtime_root,
    storage_conf_files,
    user_configuration,
)
from rootless.ranks.rank import launch_here, tag_here
from rootless.runtime.enter import from_plain, to_plain
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rootless.containers.rank_recipes import Inputs, State
    from rootless.runtime.enter import Entry

_FIRST_DESCRIPTOR = 3
_LARGEST_MESSAGE = 1 << 16


class Way(NamedTuple):
    """How ranks reach the monitor of their container: the directory of its socket, the messages by which it takes a rank, with
    its answer, and the one by which it is given a listener.
    """

    directory: str
    greeting: bytes
    request: bytes
    answer: bytes
    listener: bytes


class Claim:
    """The recipe that this process is to write: it holds the lock for which others wait."""

    def __init__(self, path: str, inputs: Inputs, lock: int) -> None:
        self._path = path
        self._inputs = inputs
        self._lock = lock
        self._files: list[tuple[str, State]] = []
        self._preserved = 0

    def begin(
        self,
        environ: Mapping[str, str],
        variables: Iterable[str],
        preserved: int,
        files: Sequence[str],
        state: str,
    ) -> None:
        """Note what was read: the configuration, and `files`. Ranks get `preserved` descriptors that their launcher does not
        name; `variables` are those that the command line names, `state` the file that names their container.
        """
        read = (
            SITE_CONFIGURATION,
            user_configuration(environ),
            *storage_conf_files(environ),
            *containers_conf_files(environ),
            *files,
        )
        self._files = [(each, state_of(each)) for each in read]
        self._preserved = preserved
        # What a stream has given to one rank, and what the launcher has, is not that of another.
        are_files = all(map(_is_file, files))
        if not are_files or launcher_variables(dict.fromkeys(variables, "")):
            write_recipe(self._path, RankRecipe(self._inputs, self._files, state, None))
            self.release()

    def write(self, entry: Entry, way: Way, state: str) -> None:
        """Write how ranks enter, and let them do so. Raises OSError."""
        if self._lock >= 0:
            entering = (to_plain(entry), tuple(way), self._preserved)
            write_recipe(self._path, RankRecipe(self._inputs, self._files, state, entering))
            self.release()

    def release(self) -> None:
        """Let other ranks go on. Idempotent."""
        if self._lock >= 0:
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # processes that were forked have it as well
            posix.close(self._lock)
            self._lock = -1


class TakenRank(NamedTuple):
    """What enters a container whose monitor has taken this process as a rank. `container` is a pidfd of its first process,
    `descriptors` are those that the command gets.
    """

    entry: Entry
    container: int
    descriptors: tuple[int, ...]
    hand_over: Callable[[int], None]


def take_recipe(arguments: Sequence[str]) -> TakenRank | Claim | None:
    """What makes this process a rank, if another rank with the same arguments has left a recipe, or is about to; else
    the recipe that this process is to write, or None if there is one that does not hold.

    Raises OSError, and HostSupportError for a directory that cannot be used.
    """
    environ = _environ()
    runtime = runtime_root(environ, posix.getuid())
    directory = f"{runtime}/join"
    if not all(map(_is_private, (runtime, directory))):
        from rootless.private_directory import make_private_directory

        for each in (runtime, directory):
            make_private_directory(each, "ROOTLESS_RUNROOT")
    own = launcher_variables(environ)
    others = sorted(f"{name}={text}" for name, text in environ.items() if name not in own)
    inputs: Inputs = (list(arguments), posix.getcwd(), _digest(others))
    name = _digest((_step(arguments, environ), *inputs[1:], *arguments))[:24]
    path = f"{directory}/{name}{SUFFIX}"
    recipe = _wait_for(path)
    if isinstance(recipe, int):
        return Claim(path, inputs, recipe)
    if recipe is None or recipe.entering is None or not _holds(recipe, inputs):
        return None
    plain, way, preserved = recipe.entering
    last = _FIRST_DESCRIPTOR + int(preserved)
    descriptors = (*range(_FIRST_DESCRIPTOR, last), *launcher_descriptors(environ))
    for descriptor in descriptors:
        posix.fstat(descriptor)
    entry = with_variables(from_plain(plain), own)
    try:
        joined = _join(Way(*way))
    except (FileNotFoundError, ConnectionRefusedError):
        # The monitor has removed the recipe with the container, or was killed before.
        _remove(path)
        return take_recipe(arguments)
    if joined is None:
        return None
    container, hand_over = joined
    return TakenRank(entry, container, descriptors, hand_over)


def with_variables(entry: Entry, own: Mapping[str, str]) -> Entry:
    """The entry with the variables that the launcher has given to this rank."""
    env = (*entry.plan.env, *(f"{name}={text}" for name, text in own.items()))
    return entry._replace(plan=entry.plan._replace(env=env))


def _environ() -> dict[str, str]:
    """The variables of os.environ."""
    encoding = sys.getfilesystemencoding()
    return {
        name.decode(encoding, "surrogateescape"): text.decode(encoding, "surrogateescape")
        for name, text in posix.environ.items()
    }


def _is_file(path: str) -> bool:
    try:
        return S_ISREG(posix.stat(path).st_mode)
    except OSError:
        return False


def _is_private(path: str) -> bool:
    """Whether it is a directory that its owner alone writes to, this user. Other cases are those of `make_private_directory`."""
    try:
        descriptor = posix.open(path, posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    except FileNotFoundError:
        return False
    found = posix.fstat(descriptor)
    posix.close(descriptor)
    is_own = found.st_uid == posix.geteuid() and not found.st_mode & 0o002
    return S_ISDIR(found.st_mode) and is_own


def _wait_for(path: str) -> RankRecipe | int | None:
    """The recipe, after the rank that writes it has done so. If there is none, the descriptor of the lock with which this
    process is to write it; None if there is one that this release cannot read. Raises OSError.
    """
    flags = posix.O_RDWR | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_CLOEXEC
    while True:
        try:
            return read_recipe(path)
        except FileNotFoundError:
            pass
        lock = posix.open(f"{path}.lock", flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_named(lock, f"{path}.lock") and state_of(path) is None:
                held, lock = lock, -1
                return held
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_SH)
        finally:
            if lock >= 0:
                posix.close(lock)


def _remove(path: str) -> None:
    try:
        posix.unlink(path)
    except FileNotFoundError:
        pass


def _is_named(lock: int, path: str) -> bool:
    """Whether the lock has not been removed meanwhile."""
    try:
        return posix.fstat(lock).st_ino == posix.stat(path).st_ino
    except FileNotFoundError:
        return False


def _join(way: Way) -> tuple[int, Callable[[int], None]] | None:
    """Have the monitor take this process as a rank (docs/monitor-protocol.md). Returns a pidfd of the container's first process,
    and what gives the monitor a listener; None if it does not take it. Raises OSError.
    """
    flags = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
    directory = posix.open(way.directory, flags)
    found = posix.fstat(directory)
    if found.st_uid != posix.getuid() or found.st_mode & 0o077:
        return None
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    end.connect(f"/proc/self/fd/{directory}/control.sock")
    posix.close(directory)

    def send(data: bytes, *descriptors: int) -> None:
        rights = struct.pack(f"{len(descriptors)}i", *descriptors)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
        end.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)

    pidfd = posix.pidfd_open(posix.getpid())
    send(way.greeting)
    send(way.request, pidfd)
    posix.close(pidfd)
    while True:
        data, ancillary, _, _ = end.recvmsg(
            _LARGEST_MESSAGE, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC
        )
        if data == way.answer and ancillary:
            (container,) = struct.unpack("i", ancillary[0][2][:4])
            return container, lambda listener: send(way.listener, listener)
        if not data or data.startswith(b'{"kind":"refused"'):
            end.close()
            return None


def _step(arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """What ranks with one command line have in common. A tag of `run --join` is on the command line."""
    if arguments[0] == "hpc":
        return tag_here(environ)
    launch = launch_here(environ)
    return "" if launch is None else f"{launch.launcher} {launch.tag}"


def _digest(texts: Iterable[str]) -> str:
    return hex_of(sha256_digest("\0".join(texts).encode(errors="surrogateescape")))


def _holds(recipe: RankRecipe, inputs: Inputs) -> bool:
    files = recipe.files
    return recipe.inputs == inputs and all(state_of(each) == state for each, state in files)
