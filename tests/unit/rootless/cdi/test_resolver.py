"""Which file describes a device: priorities, conflicts, and the words for what is not known."""

import pytest

from rootless.cdi.document import CdiSpec, ContainerEdits
from rootless.cdi.resolver import SpecFile, device_names, resolve
from rootless.errors import UsageError


def edits(text):
    return ContainerEdits(env=(f"FROM={text}",))


def file(path, priority, *devices, kind="vendor.com/device", common=None):
    described = {name: edits(f"{path}:{name}") for name in devices}
    return SpecFile(path, priority, CdiSpec(kind, described, common or ContainerEdits()))


def test_a_later_directory_has_priority():
    files = [file("/etc/a", 0, "x", "y"), file("/run/a", 1, "x")]
    assert resolve(["vendor.com/device=x", "vendor.com/device=y"], files) == [
        edits("/run/a:x"),
        edits("/etc/a:y"),
    ]


def test_the_edits_of_a_file_come_once_and_before_those_of_its_devices():
    common = edits("common")
    files = [file("/a", 0, "x", "y", common=common)]
    names = ["vendor.com/device=x", "vendor.com/device=y", "vendor.com/device=x"]
    assert resolve(names, files) == [common, edits("/a:x"), edits("/a:y")]


def test_two_files_of_one_directory_conflict():
    files = [file("/etc/a", 0, "x"), file("/etc/b", 0, "x", "z")]
    with pytest.raises(UsageError) as raised:
        resolve(["vendor.com/device=x"], files)
    assert raised.value.message == (
        "CDI device injection failed: conflicting CDI devices vendor.com/device=x (/etc/a, /etc/b)"
    )
    assert device_names(files) == ["vendor.com/device=z"]
    assert resolve(["vendor.com/device=z"], files) == [edits("/etc/b:z")]


def test_a_conflict_below_a_file_of_higher_priority_is_none():
    files = [file("/etc/a", 0, "x"), file("/etc/b", 0, "x"), file("/run/c", 1, "x")]
    assert resolve(["vendor.com/device=x"], files) == [edits("/run/c:x")]


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        ([], "no CDI devices are known here"),
        ([file("/a", 0, "x")], "known devices: vendor.com/device=x"),
        (
            [SpecFile("/etc/cdi/v.json", 0, None, "invalid version '7'")],
            "the CDI specification /etc/cdi/v.json cannot be used: invalid version '7'",
        ),
    ],
)
def test_all_unknown_devices_are_named(files, hint):
    with pytest.raises(UsageError) as raised:
        resolve(["vendor.com/device=q", "other.com/device=x"], files)
    assert raised.value.message == (
        "CDI device injection failed: unresolvable CDI devices vendor.com/device=q, other.com/device=x"
    )
    assert raised.value.hint == hint
