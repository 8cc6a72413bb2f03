"""`run --join`: the ranks of a step on a node share one container. The first one makes it, the others enter it, the
last one removes it.
"""

from __future__ import annotations

from rootless.errors import NotFoundError, RootlessError
from rootless.private_directory import make_private_directory
from rootless.ranks.entering import find, join, rank_entry, way_to
from rootless.ranks.rank import rank_command
from rootless.ranks.recipe import with_variables
from rootless.runtime import extensions
from rootless.runtime.enter import Doing, enter
from rootless.runtime.failure import failure_of
from rootless.runtime.failures import launch_error
from rootless.supervisor.client import MonitorClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from rootless.containers.launch_description import LaunchDescription
    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths
    from rootless.ranks.entering import SharedContainer
    from rootless.ranks.rank import Rank
    from rootless.ranks.recipe import Claim
    from rootless.spec.options import ContainerOptions

    Describe = Callable[[int], LaunchDescription]

_ATTEMPTS = 1000


def run_joined(
    options: ContainerOptions,
    rank: Rank,
    paths: StoragePaths,
    prepare: Describe,
    start: Callable[[Describe], ContainerRecord],
    *,
    claim: Claim | None,
) -> NoReturn:
    """Become a rank. `prepare` makes the container of the options, by the PID of its monitor, and `start` starts one.
    `claim` is of the recipe that others with this rank's command line wait for.

    Raises RootlessError; after that this process imports nothing any more.
    """
    command = rank_command(options, rank.tag, paths)
    for each in (paths.runtime, f"{paths.runtime}/join"):
        make_private_directory(each, "ROOTLESS_RUNROOT")
    for _ in range(_ATTEMPTS):
        found = find(command.state)
        client = None if found is None else join(found, paths)
        if found is None or client is None:
            _make(rank, command.state, paths, prepare, start)
            continue
        made = rank_entry(found, client, command)
        if made is None:
            continue
        entry, container = made
        if claim is not None:
            claim.write(entry, way_to(found, paths), command.state)
        named = {name for name, _ in command.variables}
        own = {name: text for name, text in rank.variables.items() if name not in named}
        doing = Doing()
        try:
            enter(with_variables(entry, own), container, doing, client.hand_over, rank.descriptors)
        except BaseException as error:  # noqa: BLE001 - the traceback would need imports
            raise launch_error(failure_of(doing.stage, doing.what, error)) from None
    raise RootlessError(f"the container of {rank.tag} ends again and again")


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
        found = find(state)
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


def _has_monitor(found: SharedContainer, paths: StoragePaths) -> bool:
    try:
        MonitorClient.connect(paths.control_directory(found.container)).close()
    except NotFoundError:
        return False
    return True
