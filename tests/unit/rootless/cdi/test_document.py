"""CDI specifications: what is taken, and what is refused with which words."""

import pytest

from rootless.cdi.document import CdiSpec, ContainerEdits, DeviceNode, Hook, Mount, parse_spec
from rootless.errors import InvalidDocumentError

MINIMAL = {
    "cdiVersion": "0.6.0",
    "kind": "vendor.com/device",
    "devices": [{"name": "foo", "containerEdits": {"deviceNodes": [{"path": "/dev/foo"}]}}],
}


def with_edits(version="1.0.0", **edits):
    device = {"name": "foo", "containerEdits": edits}
    return MINIMAL | {"cdiVersion": version, "devices": [device]}


def test_every_member_is_read():
    document = MINIMAL | {
        "cdiVersion": "0.7.0",
        "annotations": {"a": "b"},
        "containerEdits": {
            "env": ["A=1", "B="],
            "deviceNodes": [
                {
                    "path": "/dev/a",
                    "hostPath": "/dev/b",
                    "type": "c",
                    "major": 1,
                    "minor": 3,
                    "fileMode": 438,
                    "permissions": "rwm",
                    "uid": 0,
                    "gid": 0,
                }
            ],
            "mounts": [
                {"hostPath": "/h", "containerPath": "/c", "options": ["ro"], "type": "bind"}
            ],
            "hooks": [
                {
                    "hookName": "createContainer",
                    "path": "/bin/hook",
                    "args": ["hook", "--x"],
                    "env": ["H=1"],
                    "timeout": 5,
                }
            ],
            "additionalGids": [44, 0],
            "intelRdt": {"closID": "x"},
        },
    }
    assert parse_spec(document) == CdiSpec(
        "vendor.com/device",
        {"foo": ContainerEdits(devices=(DeviceNode("/dev/foo", "/dev/foo"),))},
        ContainerEdits(
            env=("A=1", "B="),
            devices=(DeviceNode("/dev/a", "/dev/b"),),
            mounts=(Mount("/h", "/c", ("ro",), "bind"),),
            hooks=(Hook("createContainer", "/bin/hook", ("hook", "--x"), ("H=1",), 5),),
            additional_gids=(44,),
            has_intel_rdt=True,
        ),
    )


def test_a_number_as_name_is_text():
    """YAML reads `name: 0` as a number; the library of the specification makes a string of it."""
    document = MINIMAL | {"devices": [MINIMAL["devices"][0] | {"name": 0}]}
    assert list(parse_spec(document).devices) == ["0"]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "the specification is not an object"),
        (MINIMAL | {"cdiVersion": "0.2.0"}, "invalid version '0.2.0'"),
        (MINIMAL | {"cdiVersion": "9.0.0"}, "invalid version '9.0.0'"),
        (MINIMAL | {"kind": "vendor.com"}, "invalid kind 'vendor.com'"),
        (MINIMAL | {"kind": "1vendor/class"}, "invalid kind '1vendor/class'"),
        (MINIMAL | {"devices": []}, "no devices"),
        (MINIMAL | {"devices": MINIMAL["devices"] * 2}, "multiple devices 'foo'"),
        (MINIMAL | {"devices": [{"name": "foo"}]}, "device 'foo' has no edits"),
        (MINIMAL | {"extra": 1}, "unknown member 'extra' of the specification"),
        (with_edits(extra=1), "unknown member 'extra' of containerEdits"),
        (with_edits(env=["=x"]), "invalid environment variable '=x'"),
        (with_edits(env=["X"]), "invalid environment variable 'X'"),
        (with_edits(env="A=1"), "env is not a list"),
        (
            with_edits(deviceNodes=[{"path": ""}]),
            "invalid device node: path '' is not an absolute path",
        ),
        (
            with_edits(deviceNodes=[{"path": "/d", "type": "x"}]),
            "device '/d': invalid type 'x'",
        ),
        (
            with_edits(deviceNodes=[{"path": "/d", "permissions": "q"}]),
            "device '/d': invalid permissions 'q'",
        ),
        (
            with_edits(mounts=[{"hostPath": "/h"}]),
            "invalid mount: containerPath '' is not an absolute path",
        ),
        (with_edits(hooks=[{"hookName": "x", "path": "/p"}]), "invalid hook name 'x'"),
        (with_edits(additionalGids=[-1]), "additionalGids is not a number"),
    ],
)
def test_a_damaged_document_is_refused_with_the_reason(document, reason):
    with pytest.raises(InvalidDocumentError) as raised:
        parse_spec(document)
    assert raised.value.message == reason


@pytest.mark.parametrize(
    ("first", "before", "document"),
    [
        (
            "0.4.0",
            "0.3.0",
            with_edits(mounts=[{"hostPath": "/h", "containerPath": "/c", "type": "bind"}]),
        ),
        ("0.5.0", "0.4.0", with_edits(deviceNodes=[{"path": "/a", "hostPath": "/b"}])),
        ("0.5.0", "0.4.0", MINIMAL | {"devices": [MINIMAL["devices"][0] | {"name": "0"}]}),
        ("0.6.0", "0.5.0", MINIMAL | {"kind": "vendor.com/some.class"}),
        ("0.6.0", "0.5.0", MINIMAL | {"annotations": {"a": "b"}}),
        ("0.7.0", "0.6.0", with_edits(additionalGids=[5])),
        ("0.7.0", "0.6.0", with_edits(intelRdt={})),
    ],
)
def test_what_a_version_does_not_have_needs_a_later_one(first, before, document):
    parse_spec(document | {"cdiVersion": first})
    with pytest.raises(InvalidDocumentError, match=f"must be at least v{first}"):
        parse_spec(document | {"cdiVersion": before})
