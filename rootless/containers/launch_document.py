"""launch.json: the launch description of a container as it was created, without what its record and config.json have.
Pure.

Fields that this version does not know are kept. `format` is raised only when an older engine would
misread the document.
"""

from __future__ import annotations

from rootless.containers.launch_description import (
    HostTree,
    ImageTree,
    LaunchDescription,
    OutputLog,
    log_path,
)
from rootless.errors import InvalidDocumentError
from rootless.light_json import dumps, read_versioned
from rootless.network.setup import plain_setup, setup_of
from rootless.runtime.idmap import IdMaps
from rootless.spec.health import as_plain, from_plain
from rootless.spec.options import (
    DEFAULT_LOG,
    NO_STORAGE_LIMITS,
    LogDriver,
    RestartName,
    RestartPolicy,
    StorageLimits,
    TraceOptions,
)
from rootless.spec.storage_driver import StorageDriver
from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.containers.record import ContainerRecord

NAME = "launch.json"
FORMAT = 1


class Places(NamedTuple):
    """Where this engine keeps what belongs to the container: absolute paths."""

    directory: str
    control_directory: str
    seccomp_cache: str


def encode_launch(description: LaunchDescription) -> bytes:
    """The document of a description."""
    tree = description.tree
    if isinstance(tree, HostTree):
        lower: dict[str, object] = {
            "path": tree.path,
            "hidden": list(tree.hidden),
            "inPlace": tree.in_place,
        }
    else:
        lower = {"layers": [list(layer) for layer in tree.layers], "chain": tree.chain}
    maps = description.id_maps
    document: dict[str, object] = {
        "format": FORMAT,
        **description.extra,
        "tree": lower,
        "idMaps": {
            **maps.to_spec(),
            "helper": maps.helper,
            "kept": None if maps.kept is None else list(maps.kept),
        },
        "storageDriver": description.storage_driver.value,
        "volatile": description.volatile,
        **(
            {"storage": description.storage._asdict()}
            if description.storage != NO_STORAGE_LIMITS
            else {}
        ),
        **(
            {}
            if description.access_trace is None
            else {"trace": description.access_trace._asdict()}
        ),
        **({"removesImage": True} if description.removes_image else {}),
        **({"prefetch": description.prefetch} if description.prefetch else {}),
        **({"memorySize": description.memory_size} if description.memory_size else {}),
        **({} if description.network is None else {"network": plain_setup(description.network)}),
        **({} if description.health is None else {"health": as_plain(description.health)}),
        "terminal": description.terminal,
        "streams": list(description.streams),
        "inputOnce": description.input_once,
        "stopSignal": description.stop_signal,
        "stopTimeout": description.stop_timeout,
        **({"timeLimit": description.time_limit} if description.time_limit else {}),
        "cgroupParent": description.cgroup_parent,
        "log": _log_document(description.output_log),
        "restart": {
            "name": description.restart.name.value,
            "maximum": description.restart.maximum,
        },
    }
    return dumps(document) + b"\n"


def decode_launch(
    data: bytes, what: str, record: ContainerRecord, spec: dict[str, Any], places: Places
) -> LaunchDescription:
    """The description of a container; `what` names the file in errors, `spec` is its config.json.

    Raises InvalidDocumentError.
    """
    document = read_versioned(data, what, FORMAT)
    try:
        return _description(document, record, spec, places)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise InvalidDocumentError(f"{what} is damaged: {error}") from error


def _description(
    document: dict[str, Any], record: ContainerRecord, spec: dict[str, Any], places: Places
) -> LaunchDescription:
    stdin, stdout, stderr = document.pop("streams")
    restart, maps = document.pop("restart"), document.pop("idMaps")
    health = document.pop("health", None)
    network = document.pop("network", None)
    trace = document.pop("trace", None)
    return LaunchDescription(
        record=record,
        directory=places.directory,
        spec=spec,
        id_maps=_id_maps(maps),
        tree=_tree(document.pop("tree")),
        storage_driver=StorageDriver(document.pop("storageDriver")),
        volatile=document.pop("volatile", False),
        storage=StorageLimits(**document.pop("storage", {})),
        memory_size=document.pop("memorySize", 0),
        removes_image=document.pop("removesImage", False),
        prefetch=document.pop("prefetch", ""),
        access_trace=None if trace is None else TraceOptions(**trace),
        terminal=document.pop("terminal"),
        stop_signal=document.pop("stopSignal"),
        stop_timeout=document.pop("stopTimeout"),
        time_limit=document.pop("timeLimit", 0),
        cgroup_parent=document.pop("cgroupParent"),
        seccomp_cache=places.seccomp_cache,
        control_directory=places.control_directory,
        output_log=_output_log(document.pop("log", {}), places.directory, record.id),
        streams=(stdin, stdout, stderr),
        input_once=document.pop("inputOnce", False),
        ends_with_client=False,
        health=None if health is None else from_plain(health),
        network=None if network is None else setup_of(network),
        restart=RestartPolicy(RestartName(restart["name"]), restart["maximum"]),
        extra=document,
    )


def _log_document(log: OutputLog) -> dict[str, object]:
    return {
        "driver": log.driver.value,
        "maxSize": log.max_size,
        "maxFile": log.max_file,
        "compress": log.compress,
        "attributes": dict(log.attributes),
        "tag": log.tag,
    }


def _output_log(document: dict[str, Any], directory: str, container_id: str) -> OutputLog:
    """`document` is empty for a container of a version that kept no log: it gets the default."""
    if not document:
        driver = DEFAULT_LOG.driver
        return OutputLog(driver, log_path(driver, directory, container_id))
    driver = LogDriver(document["driver"])
    return OutputLog(
        driver,
        log_path(driver, directory, container_id),
        document["maxSize"],
        document["maxFile"],
        document["compress"],
        tuple(document["attributes"].items()),
        document.get("tag", ""),
    )


def _id_maps(document: dict[str, Any]) -> IdMaps:
    kept = document["kept"]
    maps = IdMaps.from_spec(document)
    return maps._replace(
        helper=document["helper"], kept=None if kept is None else (kept[0], kept[1])
    )


def _tree(document: dict[str, Any]) -> HostTree | ImageTree:
    if "path" in document:
        in_place = bool(document.get("inPlace"))
        return HostTree(document["path"], tuple(document["hidden"]), in_place)
    layers = tuple((layer, index) for layer, index in document["layers"])
    return ImageTree(layers, document["chain"])
