"""From the options of `hpc` to the values of a container."""

from __future__ import annotations

import os
import posixpath
import sys

from rootless.cli.hpc import options as rows
from rootless.cli.hpc.host_gpus import NO_GPUS, HostGpus
from rootless.errors import UsageError
from rootless.hpc.environment import caller_variables
from rootless.hpc.image_scripts import Action
from rootless.network.options import NetworkOptions
from rootless.runtime.idmap import UserNamespaceMode
from rootless.spec import options as values
from rootless.spec.options import Bind, ContainerOptions, Tmpfs
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rootless.cli.grammar import Parsed
    from rootless.hpc.names import Source
    from rootless.spec.options import UserMount

_SYSTEM = frozenset(
    {"/", "/bin", "/etc", "/lib", "/lib64", "/mnt", "/opt", "/sbin", "/usr", "/var"}
    | {f"/usr/{name}" for name in ("bin", "lib", "lib64", "libexec", "sbin")}
)
"""Directories of the image that a working directory of this path does not hide."""
_OF_KERNEL = ("/dev/", "/proc/", "/sys/")
"""They are in the container without --contain."""
_MOUNTS = frozenset({"bind-paths", "cwd", "dev", "devpts", "home", "hostfs", "tmp"})
_ZONE = "/etc/localtime"
_TMPFS = ("exec", "suid", "mode=1777")


class AskedContainer(NamedTuple):
    options: ContainerOptions
    action: Action


class _Isolation(NamedTuple):
    """What of the host the container does not have."""

    files: bool
    variables: bool
    pid: bool
    ipc: bool
    uts: bool


class _Writing(NamedTuple):
    """Where the container writes: to the image's directory (`in_place`), to memory, or to overlays."""

    in_place: bool
    to_memory: bool
    overlays: tuple[values.Overlay, ...]

    @property
    def is_possible(self) -> bool:
        return self.in_place or self.to_memory or not all(each.read_only for each in self.overlays)


class _Place(NamedTuple):
    """The caller's home: where it is on the host (empty for one in memory) and in the container."""

    source: str
    target: str


def container_of(
    parsed: Parsed,
    action: str,
    source: Source,
    words: tuple[str, ...],
    *,
    environ: Mapping[str, str],
    getcwd: Callable[[], str],
) -> AskedContainer:
    """Raises UsageError."""
    compat, fakeroot = parsed[rows.COMPAT], parsed[rows.FAKEROOT]
    app = parsed[rows.APP] or ""
    isolated = _isolation(parsed)
    writing = _writing(parsed, source, getcwd)
    excluded = _excluded(parsed)
    home = _home(parsed, environ, getcwd, root=fakeroot)
    passed = caller_variables(environ, _given_variables(parsed), clean=isolated.variables)
    given = _without_home(passed.set, home)
    binds = _asked(parsed, getcwd)
    mounts = _mounts(parsed, home, excluded, getcwd, contain=isolated.files, binds=binds.values())
    gpus = _gpus(parsed, environ, with_nodes=isolated.files or "dev" in excluded)
    has_terminal = isolated.pid and os.isatty(0) and os.isatty(1)
    options = ContainerOptions(
        image=source.name or None,
        rootfs=posixpath.join(getcwd(), source.path) if source.path else None,
        pull=_pull_policy(parsed),
        workdir=_directory(parsed, home, mounts, excluded, getcwd, contain=isolated.files),
        umask=None if parsed[rows.NO_UMASK] or compat else _umask(),
        workdir_required=bool(parsed[rows.CWD]),
        variables=tuple(_variables(given, home, action, source, app=app, bound=binds).items()),
        terminal=has_terminal,
        interactive=True,
        log=values.LogOptions(
            values.LogDriver.NONE if has_terminal else values.LogDriver.PASSTHROUGH
        ),
        mounts=(*mounts, *gpus.mounts),
        cdi_devices=(*_devices(parsed), *gpus.cdi_devices),
        cdi_directories=parsed[rows.CDI_SPEC_DIR],
        in_place=writing.in_place,
        read_only=not writing.is_possible,
        writable_tmpfs=0 if writing.to_memory else None,
        overlays=writing.overlays,
        hostname=parsed[rows.HOSTNAME],
        network=NetworkOptions(_network(parsed)),
        init=isolated.pid and not (parsed[rows.NO_INIT] or compat),
        namespaces=values.NamespaceModes(
            pid=isolated.pid, ipc=isolated.ipc, uts=isolated.uts, cgroup=False
        ),
        userns=UserNamespaceMode(keep=not fakeroot, single=not fakeroot),
        security=_security(root=fakeroot),
    )
    shell = (parsed[rows.SHELL] or "") if action == "shell" else ""
    return AskedContainer(
        options,
        Action(
            action,
            words,
            app,
            shell,
            passed.passed,
            given,
            passed.before,
            passed.after,
            gpus.libraries,
        ),
    )


def _isolation(parsed: Parsed) -> _Isolation:
    everything = parsed[rows.CONTAINALL] or parsed[rows.COMPAT]
    return _Isolation(
        files=parsed[rows.CONTAIN] or everything,
        variables=parsed[rows.CLEANENV] or everything,
        pid=parsed[rows.PID] or everything,
        ipc=parsed[rows.IPC] or everything,
        uts=parsed[rows.UTS] or bool(parsed[rows.HOSTNAME]),
    )


def _writing(parsed: Parsed, source: Source, getcwd: Callable[[], str]) -> _Writing:
    """Raises UsageError."""
    in_place = parsed[rows.WRITABLE]
    if in_place and not source.path:
        raise UsageError(
            "an image of the store cannot be written to",
            hint="use --writable-tmpfs or --overlay, or rootless run and rootless commit",
        )
    overlays = _overlays(parsed, getcwd)
    if in_place and overlays:
        raise UsageError("conflicting options: --writable and --overlay")
    to_memory = (parsed[rows.WRITABLE_TMPFS] or parsed[rows.COMPAT]) and not in_place
    return _Writing(in_place, to_memory, overlays)


def _security(*, root: bool) -> values.SecurityOptions:
    """A user of the host has what the host gives, and nothing on top of it; root of a container is confined."""
    if root:
        return values.DEFAULT_SECURITY._replace(unmask_all=True)
    return values.SecurityOptions(
        capabilities=frozenset(), seccomp="unconfined", no_new_privileges=True, unmask_all=True
    )


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _overlays(parsed: Parsed, getcwd: Callable[[], str]) -> tuple[values.Overlay, ...]:
    """Those of --overlay, which may have several separated by commas. Raises UsageError."""
    if not parsed[rows.OVERLAY]:
        return ()
    from rootless.cli.flags.storage import parse_overlay

    asked = (parse_overlay(each, getcwd) for each in _paths(parsed[rows.OVERLAY]))
    return tuple(each._replace(read_only=each.read_only or _is_packed(each.path)) for each in asked)


def _is_packed(path: str) -> bool:
    """Whether it is a squashfs or SIF file, which cannot be written to. Raises NotFoundError, InvalidDocumentError."""
    if not os.path.isfile(path):
        return False
    from rootless.images.formats.squashfs import find_squashfs

    return find_squashfs(path) is not None


def _excluded(parsed: Parsed) -> frozenset[str]:
    """What is not to be mounted: words and paths. Raises UsageError."""
    words = frozenset(
        word for text in parsed[rows.NO_MOUNT] for word in text.split(",") if word.strip()
    )
    for word in words:
        if word not in _MOUNTS and not word.startswith("/"):
            raise UsageError(
                f"--no-mount {word}: not supported",
                hint="home, tmp, cwd, dev and paths can be left out",
            )
    return words


def _home(
    parsed: Parsed, environ: Mapping[str, str], getcwd: Callable[[], str], *, root: bool
) -> _Place:
    given = parsed[rows.HOME]
    if given:
        source, _, target = given.partition(":")
        source = posixpath.normpath(posixpath.join(getcwd(), source))
        target = target or ("/root" if root else source)
        if not target.startswith("/"):
            raise UsageError(f"--home {given}: the directory in the container is not absolute")
        if not os.path.isdir(source):
            raise UsageError(f"--home {given}: {source} is not a directory", hint=f"mkdir {source}")
        return _Place(source, posixpath.normpath(target))
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        from rootless.runtime.account import read_account

        home = read_account().home
    return _Place(home, "/root" if root else home)


def _mounts(
    parsed: Parsed,
    home: _Place,
    excluded: frozenset[str],
    getcwd: Callable[[], str],
    *,
    contain: bool,
    binds: Iterable[UserMount],
) -> tuple[UserMount, ...]:
    """The last of each target; an error names a source that does not exist later. `binds` are those asked for."""
    mounts: list[UserMount] = []
    with_home = not parsed[rows.NO_HOME] and "home" not in excluded and home.target != "/"
    if contain:
        mounts += _contained(parsed, home, with_home=with_home)
    else:
        mounts += _of_host(home, excluded, getcwd, with_home=with_home)
    mounts += [*_scratch(parsed), *binds]
    by_target = {mount.target: mount for mount in mounts if mount.target not in excluded}
    return tuple(by_target.values())


def _scratch(parsed: Parsed) -> Iterable[UserMount]:
    """Directories in memory, or below --workdir."""
    workdir = _workdir(parsed)
    for path in map(posixpath.normpath, _paths(parsed[rows.SCRATCH])):
        if workdir is None:
            yield Tmpfs(path, _TMPFS)
        else:
            yield _bind(f"{workdir}/scratch{path}", path, create=True)


def _workdir(parsed: Parsed) -> str | None:
    """Raises UsageError."""
    workdir = parsed[rows.WORKDIR]
    if workdir is None:
        return None
    path = os.path.abspath(workdir)
    if not os.path.isdir(path):
        raise UsageError(f"--workdir {workdir}: {path} is not a directory", hint=f"mkdir {path}")
    return path


def _of_host(
    home: _Place, excluded: frozenset[str], getcwd: Callable[[], str], *, with_home: bool
) -> Iterable[UserMount]:
    if "dev" not in excluded:
        yield _bind("/dev", "/dev")
    if "bind-paths" not in excluded and os.path.exists(_ZONE):
        yield Bind(_ZONE, _ZONE, read_only=True)
    covering = []
    if "tmp" not in excluded:
        covering += [each for each in ("/tmp", "/var/tmp") if os.path.isdir(each)]
        yield from (_bind(each, each) for each in covering)
    if with_home and os.path.isdir(home.source):
        yield _bind(home.source, home.target)
        covering += [home.source] if home.source == home.target else []
    cwd = getcwd()
    if (
        "cwd" not in excluded
        and cwd not in _SYSTEM
        and not f"{cwd}/".startswith(_OF_KERNEL)
        and not any(f"{cwd}/".startswith(f"{each}/") for each in covering)
    ):
        yield _bind(cwd, cwd)


def _contained(parsed: Parsed, home: _Place, *, with_home: bool) -> Iterable[UserMount]:
    """Directories in memory, or below --workdir."""
    workdir = _workdir(parsed)
    for target, name in (("/tmp", "tmp"), ("/var/tmp", "var_tmp")):
        if workdir is None:
            yield Tmpfs(target, _TMPFS)
        else:
            yield _bind(f"{workdir}/{name}", target, create=True)
    if not with_home:
        return
    if parsed[rows.HOME]:
        yield _bind(home.source, home.target)
    elif workdir is None:
        yield Tmpfs(home.target, ("exec", "suid", "mode=700"))
    else:
        yield _bind(f"{workdir}/home", home.target, create=True)


def _asked(parsed: Parsed, getcwd: Callable[[], str]) -> dict[str, UserMount]:
    """Those of -B and --mount by their targets; the first of a target counts."""
    asked: dict[str, UserMount] = {}
    for mount in _parsed_binds(parsed, getcwd):
        if asked.setdefault(mount.target, mount) is not mount:
            print(
                f"rootless: {mount.target} is mounted already: a later bind of it has no effect",
                file=sys.stderr,
            )
    return asked


def _parsed_binds(parsed: Parsed, getcwd: Callable[[], str]) -> Iterable[UserMount]:
    if parsed[rows.BIND]:
        from rootless.hpc.binds import parse_binds

        for text in parsed[rows.BIND]:
            for each in parse_binds(text, getcwd):
                yield each._replace(propagation="rslave")
    if parsed[rows.MOUNT]:
        from rootless.cli.flags.mount import parse_mount

        for text in parsed[rows.MOUNT]:
            # Apptainer has binds alone, and its type may be left out.
            has_type = any(field.startswith("type=") for field in text.split(","))
            yield parse_mount(text if has_type else f"type=bind,{text}", getcwd)


def _bind(source: str, target: str, *, create: bool = False) -> Bind:
    """What is mounted on the host later, as homes are by autofs, is there too."""
    return Bind(source, target, propagation="rslave", create=create)


def _paths(texts: tuple[str, ...]) -> list[str]:
    return [path for text in texts for path in text.split(",") if path]


def _directory(
    parsed: Parsed,
    home: _Place,
    mounts: tuple[UserMount, ...],
    excluded: frozenset[str],
    getcwd: Callable[[], str],
    *,
    contain: bool,
) -> str:
    """The one asked for; the caller's, where it is the same in the container; else the home, as with --contain."""
    asked = parsed[rows.CWD]
    if asked:
        return posixpath.join(getcwd(), asked)
    cwd = getcwd()
    same = [each.target for each in mounts if isinstance(each, Bind) and each.source == each.target]
    if not contain:
        if any(f"{cwd}/".startswith(f"{target}/") for target in same):
            return cwd
        if "cwd" not in excluded and (cwd in _SYSTEM or f"{cwd}/".startswith(_OF_KERNEL)):
            return cwd
    is_mounted = any(each.target == home.target for each in mounts)
    return home.target if is_mounted else "/"


def _given_variables(parsed: Parsed) -> dict[str, str]:
    """Those of --env-file, and of --env, which win. Raises UsageError, and GrammarError for a file."""
    result: dict[str, str] = {}
    if parsed[rows.ENV_FILE]:
        from rootless.cli.flags.environment import parse_lines

        for path in parsed[rows.ENV_FILE]:
            for name, value in parse_lines(path, _read_script):
                if value is not None:
                    result[name] = _unquoted(value)
    for text in parsed[rows.ENV]:
        last = ""
        for field in text.split(","):
            name, separator, value = field.partition("=")
            if separator and name:
                last = name
                result[name] = value
            elif last:
                result[last] += f",{field}"  # a comma of the value
            else:
                raise UsageError(f"invalid environment variable {text!r}", hint="use NAME=VALUE")
    return result


def _read_script(path: str) -> str:
    """A file of variables, which Apptainer takes for a script of the shell. Raises UsageError."""
    from rootless.cli.context import read_text

    lines = read_text(path).splitlines(keepends=True)
    return "".join(line.lstrip().removeprefix("export ") for line in lines)


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value


def _without_home(given: Mapping[str, str], home: _Place) -> Mapping[str, str]:
    """The home is where it is mounted."""
    if given.get("HOME", home.target) != home.target:
        print("rootless: HOME is not set by variables: use --home", file=sys.stderr)
    return {name: text for name, text in given.items() if name != "HOME"}


def _variables(
    given: Mapping[str, str],
    home: _Place,
    action: str,
    source: Source,
    *,
    app: str,
    bound: Iterable[str],
) -> dict[str, str]:
    """Those that describe the container, and those that win over the image's. `bound` are the targets of --bind."""
    place = source.path and os.path.abspath(source.path)
    name = posixpath.basename(place or source.name)
    described = {
        "CONTAINER": place or source.name,
        "NAME": name,
        "COMMAND": action,
        "ENVIRONMENT": "/.singularity.d/env/91-environment.sh",
        "BIND": ",".join(bound),
    }
    if app:
        described["APPNAME"] = app
    result = {}
    for key, value in described.items():
        result[f"APPTAINER_{key}"] = result[f"SINGULARITY_{key}"] = value
    if action == "shell":
        result["PS1"] = "rootless> "
    return {**result, "HOME": home.target, **given}


def _pull_policy(parsed: Parsed) -> values.PullPolicy:
    text = parsed[rows.PULL]
    try:
        return values.PullPolicy(text or "missing")
    except ValueError:
        raise UsageError(
            f"invalid pull option: {text!r}: must be one of always, missing, never or newer"
        ) from None


def _network(parsed: Parsed) -> str:
    if not parsed[rows.NET] and not parsed[rows.NETWORK]:
        return "host"
    network = parsed[rows.NETWORK] or "bridge"
    if network not in {"bridge", "none", "pasta", "slirp4netns"}:
        raise UsageError(
            f"--network {network}: not supported", hint="use bridge, none, pasta or slirp4netns"
        )
    return network


def _gpus(parsed: Parsed, environ: Mapping[str, str], *, with_nodes: bool) -> HostGpus:
    if not parsed[rows.NV] and not parsed[rows.ROCM]:
        return NO_GPUS
    from rootless.cli.hpc.gpus import find_gpus
    from rootless.hpc.gpu_files import AMD, NVIDIA

    asked = ((rows.NV, NVIDIA), (rows.ROCM, AMD))
    vendors = [vendor for option, vendor in asked if parsed[option]]
    return find_gpus(vendors, environ, parsed[rows.CDI_SPEC_DIR], with_nodes=with_nodes)


def _devices(parsed: Parsed) -> tuple[str, ...]:
    from rootless.cdi.names import is_qualified

    for text in parsed[rows.DEVICE]:
        if not is_qualified(text):
            raise UsageError(
                f"--device {text}: not the name of a CDI device",
                hint="all of /dev is there without --contain; bind one with -B",
            )
    return parsed[rows.DEVICE]
