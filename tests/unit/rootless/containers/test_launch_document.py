"""launch.json: what is written is read again, and what a newer version wrote is kept."""

import json

import pytest

from rootless.containers.launch_description import HostTree, ImageTree, LaunchDescription, OutputLog
from rootless.containers.launch_document import Places, decode_launch, encode_launch
from rootless.containers.record import ContainerRecord
from rootless.errors import InvalidDocumentError
from rootless.runtime.idmap import IdMaps, IdRange
from rootless.spec.options import LogDriver, RestartName, RestartPolicy
from rootless.spec.storage_driver import StorageDriver

RECORD = ContainerRecord("a" * 64, "web", "2026-01-01T00:00:00Z")
PLACES = Places("/store/containers/a", "/run/a", "/store/seccomp")
SPEC = {"process": {"args": ["true"]}}
DESCRIPTION = LaunchDescription(
    record=RECORD,
    directory=PLACES.directory,
    spec=SPEC,
    id_maps=IdMaps((IdRange(0, 1000, 1),), (IdRange(0, 1000, 1),), helper=False, kept=(5, 6)),
    tree=HostTree("/", ("/store",)),
    storage_driver=StorageDriver.OVERLAY,
    terminal=True,
    stop_signal=3,
    stop_timeout=None,
    cgroup_parent="a.slice",
    seccomp_cache=PLACES.seccomp_cache,
    control_directory=PLACES.control_directory,
    output_log=OutputLog(
        LogDriver.K8S_FILE, f"{PLACES.directory}/ctr.log", 1000, 3, True, (("a", "b"),), "{{.ID}}"
    ),
    streams=(True, True, False),
    input_once=True,
    ends_with_client=False,
    volatile=True,
    restart=RestartPolicy(RestartName.ON_FAILURE, 3),
)


@pytest.mark.parametrize(
    "tree", [DESCRIPTION.tree, ImageTree((("/l/1.tar", "/l/1.sqlite"),), "/chain.sqlite")]
)
def test_description_is_read_as_it_was_written(tree):
    description = DESCRIPTION._replace(tree=tree)
    data = encode_launch(description)
    assert decode_launch(data, "launch.json", RECORD, SPEC, PLACES) == description


def test_fields_of_a_newer_version_are_kept():
    document = json.loads(encode_launch(DESCRIPTION)) | {"healthCheck": {"test": ["true"]}}
    read = decode_launch(json.dumps(document).encode(), "launch.json", RECORD, SPEC, PLACES)
    assert read.extra == {"healthCheck": {"test": ["true"]}}
    assert json.loads(encode_launch(read)) == document


def test_container_of_a_version_without_logs_gets_the_default_log():
    document = json.loads(encode_launch(DESCRIPTION))
    del document["log"]
    read = decode_launch(json.dumps(document).encode(), "launch.json", RECORD, SPEC, PLACES)
    path = f"{PLACES.directory}/{RECORD.id}-json.log"
    assert read.output_log == OutputLog(LogDriver.JSON_FILE, path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("format", "has a format that this version does not know"),
        *((name, "is damaged") for name in ("tree", "idMaps", "restart", "streams")),
    ],
)
def test_damaged_document_is_named(damage, message):
    document = json.loads(encode_launch(DESCRIPTION))
    del document[damage]
    with pytest.raises(InvalidDocumentError, match=rf"launch\.json {message}"):
        decode_launch(json.dumps(document).encode(), "launch.json", RECORD, SPEC, PLACES)
