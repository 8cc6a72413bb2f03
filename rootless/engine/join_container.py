"""`run --join`: the ranks of a step on a node share one container. The first one makes it, the others enter it, the last
one leaves it.

    RUNROOT/join/<hash of tag and image>          which container it is; removed by its monitor at the end
    RUNROOT/join/<hash of tag and image>.lock     held while a rank makes the container
"""

from __future__ import annotations

import os
import time

from rootless.containers.exec_target import join_args
from rootless.errors import ConflictError, InvalidDocumentError, NotFoundError, RootlessError
from rootless.light_json import loads
from rootless.oci.digest import hex_of, sha256_digest
from rootless.private_directory import make_private_directory
from rootless.runtime import extensions
from rootless.runtime.enter import enter
from rootless.spec.command import arguments
from rootless.spec.exec_options import ExecOptions
from rootless.supervisor.client import MonitorClient, MonitorEndedError, RefusedError
from rootless.supervisor.protocol import Kind
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from rootless.containers.launch_description import LaunchDescription
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.spec.options import ContainerOptions

    Describe = Callable[[int], LaunchDescription]

_RETRY = 0.01
_ATTEMPTS = 1000


class Rank(NamedTuple):
    """This process as a rank: the tag of the step, the ranks on this node (0: not known), the variables of the launcher,
    and descriptors that the command gets.
    """

    tag: str
    local_size: int
    variables: Mapping[str, str]
    descriptors: tuple[int, ...] = ()


class _Found(NamedTuple):
    """A container that runs, and the `config` of its image."""

    container: str
    image: Mapping[str, Any]


def run_joined(
    options: ContainerOptions,
    rank: Rank,
    paths: StoragePaths,
    prepare: Describe,
    start: Callable[[Describe], ContainerRecord],
) -> NoReturn:
    """Become a rank. `prepare` makes the container of the options, by the PID of its monitor, and `start` starts one.

    Raises RootlessError; after that this process imports nothing any more.
    """
    directory = f"{paths.runtime}/join"
    for each in (paths.runtime, directory):
        make_private_directory(each, "ROOTLESS_RUNROOT")
    what = f"{rank.tag}\0{options.image or options.rootfs}\0{paths.store}"
    digest = sha256_digest(what.encode(errors="surrogateescape"))
    state = f"{directory}/{hex_of(digest)[:24]}"
    for _ in range(_ATTEMPTS):
        found = _find(state)
        client = None if found is None else _join(found, paths)
        if found is None or client is None:
            _make(rank, state, paths, prepare, start)
            continue
        _enter(found, client, options, rank, paths)
    raise RootlessError(f"the container of {rank.tag} ends again and again")


def _find(state: str) -> _Found | None:
    try:
        with open(state, "rb") as file:
            document = loads(file.read())
        return _Found(str(document["container"]), dict(document["image"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidDocumentError(f"{state} cannot be read: {error!r}") from error


def _join(found: _Found, paths: StoragePaths) -> MonitorClient | None:
    """The connection to the monitor that has taken this process as a rank; None if the container has ended, or is
    about to.
    """
    pidfd = os.pidfd_open(os.getpid())
    try:
        for _ in range(_ATTEMPTS):
            try:
                client = MonitorClient.connect(paths.control_directory(found.container))
                client.join(pidfd)
                client.receive_until(Kind.DONE)
            except RefusedError as error:
                if "too many clients" not in error.message:
                    return None
                time.sleep(_RETRY)
            else:
                return client
    except (NotFoundError, MonitorEndedError):
        return None
    finally:
        os.close(pidfd)
    return None


def _make(
    rank: Rank,
    state: str,
    paths: StoragePaths,
    prepare: Describe,
    start: Callable[[Describe], ContainerRecord],
) -> None:
    """Make the container, unless another rank has made it meanwhile."""
    from rootless.containers.launch_description import Shared
    from rootless.durable import acquire_lock, write_atomically
    from rootless.light_json import dumps

    lock = acquire_lock(f"{state}.lock")
    assert lock is not None  # it is waited for
    try:
        found = _find(state)
        if found is not None and _has_monitor(found, paths):
            return
        images: list[str] = []

        def describe(monitor: int) -> LaunchDescription:
            description = prepare(monitor)
            images.append(description.record.image_id)
            annotations = {**description.spec.get("annotations", {}), extensions.HOLD: "true"}
            return description._replace(
                spec={**description.spec, "annotations": annotations},
                shared=Shared(rank.local_size, state),
            )

        container = start(describe).id
        image = _image_config(paths, images[0]) if images[0] else {}
        write_atomically(state, dumps({"container": container, "image": image}), durable=False)
    finally:
        lock.unlock()  # the monitor has been forked meanwhile


def _image_config(paths: StoragePaths, image_id: str) -> Mapping[str, Any]:
    """What a rank needs of the image's configuration."""
    from rootless.oci.image_config import read_image_config
    from rootless.store.layout import Store

    document = Store.open(paths.store, paths.shared).read_document(image_id, "image config")
    config = read_image_config(document, image_id).config
    return {name: config[name] for name in ("Cmd", "Entrypoint") if config.get(name)}


def _has_monitor(found: _Found, paths: StoragePaths) -> bool:
    try:
        MonitorClient.connect(paths.control_directory(found.container)).close()
    except NotFoundError:
        return False
    return True


def _enter(
    found: _Found,
    client: MonitorClient,
    options: ContainerOptions,
    rank: Rank,
    paths: StoragePaths,
) -> None:
    """Returns if the container has ended meanwhile."""
    asked = ExecOptions(
        command=arguments(options, found.image),
        variables=(*rank.variables.items(), *options.variables),
        workdir=options.workdir,
        user=options.user,
    )
    try:
        args = join_args(
            paths.containers.read(found.container),
            paths.containers.directory(found.container),
            asked,
            hand_over=client.hand_over,
            seccomp_cache=f"{paths.store}/seccomp",
        )
    except (ConflictError, NotFoundError):
        client.close()
        return
    enter(args, rank.descriptors)
