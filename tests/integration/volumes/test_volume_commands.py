"""`rootless volume`: what docker 28.5 was seen to do for each command line."""

import json
import os

import pytest


def names(rootless, *arguments):
    return rootless("volume", "ls", "-q", *arguments).ok().stdout.split()


@pytest.fixture
def three(rootless):
    """v1 without labels, v2 with two, and one without a name of its own; returns that one's name."""
    anonymous = rootless("volume", "create").ok().stdout.strip()
    assert rootless("volume", "create", "v1").ok().stdout == "v1\n"
    rootless("volume", "create", "--label", "a=b", "--label", "c", "v2").ok()
    return anonymous


def test_create_is_idempotent_and_without_a_name_random(rootless, three):
    assert len(three) == 64
    assert rootless("volume", "create", "v1", "--label", "a=b").ok().stdout == "v1\n"
    assert rootless("volume", "create", "--name", "v6").ok().stdout == "v6\n"
    assert names(rootless) == sorted([three, "v1", "v2", "v6"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a",), "create a: volume name is too short"),
        (("a/b",), 'create a/b: "a/b" includes invalid characters for a local volume name'),
        (("-d", "nope", "v3"), 'create v3: error looking up volume plugin nope: plugin "nope" not'),
        (("-o", "foo=bar", "v5"), 'create v5: invalid option: "foo"'),
        (("-o", "size=10", "v5"), "create v5: quota size requested but no quota support"),
        (("--name", "v6", "v7"), "conflicting options: cannot specify a volume-name through both"),
    ],
)
def test_create_refuses_in_docker_s_words(rootless, arguments, message):
    done = rootless("volume", "create", *arguments)
    assert (done.status, done.stdout) == (1, "")
    assert message in done.stderr
    assert names(rootless) == []


def test_list_has_docker_s_columns_and_fields(rootless, three):
    lines = rootless("volume", "ls").ok().stdout.splitlines()
    assert lines[0] == "DRIVER    VOLUME NAME"
    assert lines[1:] == [f"local     {name}" for name in sorted([three, "v1", "v2"])]
    form = '{{.Name}} {{.Driver}} {{.Scope}} {{.Labels}} {{.Label "a"}} {{.Links}} {{.Size}}'
    shown = rootless("volume", "ls", "--format", form).ok().stdout.splitlines()
    assert "v2 local local a=b,c= b N/A N/A" in shown
    rows = [
        json.loads(line)
        for line in rootless("volume", "ls", "--format", "json").stdout.split("\n")[:-1]
    ]
    assert rows[0].keys() == {
        "Availability", "Driver", "Group", "Labels", "Links", "Mountpoint", "Name", "Scope", "Size", "Status"
    }  # fmt: skip
    assert rows[0]["Labels"] == "com.docker.volume.anonymous=" or rows[0]["Name"] != three


def test_list_filters(rootless, three):
    assert names(rootless, "-f", "name=v", "-f", "label=a") == ["v2"]
    assert names(rootless, "-f", "name=^v[2-9]$") == ["v2"]
    assert names(rootless, "-f", "name=v[") == []
    assert names(rootless, "-f", "label=a=x") == []
    assert names(rootless, "-f", "dangling=true") == sorted([three, "v1", "v2"])
    assert names(rootless, "-f", "dangling=false") == []
    assert names(rootless, "-f", "driver=x") == []
    for bad in ("dangling=x", "nope=x"):
        assert rootless("volume", "ls", "-f", bad).status == 1


def test_inspect_is_docker_s_document(rootless, three):
    done = rootless("volume", "inspect", "v1", "v2", "nope")
    assert (done.status, done.stderr) == (1, "Error: get nope: no such volume\n")
    first, second = json.loads(done.stdout)
    mountpoint = str(rootless.data / "rootless/volumes/v1/_data")
    created = first.pop("CreatedAt")
    assert created.endswith("Z")
    assert first == {
        "Driver": "local",
        "Labels": None,
        "Mountpoint": mountpoint,
        "Name": "v1",
        "Options": None,
        "Scope": "local",
    }
    assert second["Labels"] == {"a": "b", "c": ""}
    form = "{{.Name}} {{.Labels}} {{.Options}} {{.Scope}} {{.Status}} {{.UsageData}}"
    assert (
        rootless("volume", "inspect", "-f", form, "v1").ok().stdout
        == "v1 map[] map[] local map[] <nil>\n"
    )
    assert json.loads(rootless("inspect", "--type", "volume", "v1").ok().stdout)[0]["Name"] == "v1"
    assert rootless("inspect", "-f", "{{.Mountpoint}}", "v1").ok().stdout == f"{mountpoint}\n"


def test_remove(rootless, three):
    done = rootless("volume", "rm", "v1", "nope", "v2")
    assert (done.status, done.stdout) == (1, "v1\nv2\n")
    assert done.stderr == "Error: get nope: no such volume\n"
    assert rootless("volume", "rm", "-f", "nope").ok().stdout == "nope\n"
    assert names(rootless) == [three]
    assert rootless("volume", "rm").status == 1


def test_prune_takes_anonymous_ones_and_with_all_the_others(rootless, three):
    assert (
        rootless("volume", "prune", "-f")
        .ok()
        .stdout.startswith(f"Deleted Volumes:\n{three}\n\nTotal")
    )
    assert rootless("volume", "prune", "-f", "-a", "--filter", "label=zz").ok().stdout == (
        "Total reclaimed space: 0B\n"
    )
    assert rootless("volume", "prune", "-f", "--filter", "nope=x").status == 1
    done = rootless("volume", "prune", "-f", "-a", "--filter", "label!=a").ok()
    assert done.stdout.startswith("Deleted Volumes:\nv1\n\nTotal")
    assert (
        rootless("volume", "prune", "--filter", "all=1", "-f")
        .ok()
        .stdout.startswith("Deleted Volumes:\nv2\n")
    )
    assert (
        rootless("volume", "prune", stdin=b"n\n")
        .ok()
        .stdout.startswith(
            "WARNING! This will remove anonymous local volumes not used by at least one container."
        )
    )


def test_prune_of_the_system_and_disk_usage_know_volumes(rootless, three):
    data = rootless.data / "rootless/volumes/v1/_data"
    (data / "file").write_bytes(b"x" * 100_000)
    form = "{{.Type}} {{.TotalCount}} {{.Active}} {{.Reclaimable}}"
    rows = rootless("system", "df", "--format", form).ok().stdout.splitlines()
    assert any(row.startswith("Local Volumes 3 0 1") and row.endswith("(100%)") for row in rows)
    text = rootless("system", "df", "-v").ok().stdout
    assert "Local Volumes space usage:" in text
    assert [line.split()[1] for line in text.splitlines() if line.startswith("v1 ")] == ["0"]
    assert three in rootless("system", "prune", "-f", "--volumes").ok().stdout
    assert names(rootless) == ["v1", "v2"]


def test_damaged_volume_is_reported_and_removable(rootless, three):
    path = rootless.data / "rootless/volumes/v1/volume.json"
    path.write_text("{")
    assert "v1" in names(rootless)
    assert rootless("volume", "inspect", "v1").status == 1
    assert json.loads(rootless("volume", "inspect", "v2").ok().stdout)
    done = rootless("system", "check")
    assert done.status == 1
    assert "volume v1" in done.stdout
    rootless("volume", "prune", "-af").ok()
    assert names(rootless) == ["v1"]  # its files may be worth more than its record
    rootless("volume", "rm", "v1").ok()
    assert names(rootless) == []


def test_leftovers_of_killed_commands_are_found(rootless, three):
    left = rootless.data / "rootless/volumes/.new-1"
    left.mkdir()
    os.utime(left)
    assert rootless("system", "check").ok()  # another command may be making it
