"""What people ask of a list of images: patterns, filters, times, kinds and platforms."""

from __future__ import annotations

import json

import pytest

from tests.support.images import add_file, image_config, layer_tar, sha256

# Newest first, as they are listed: zones and fractions do not sort as text.
TIMES = {
    "team/app:2": "2024-05-01T00:30:00.5Z",
    "team/app:1": "2024-05-01T00:30:00Z",
    "tool:late": "2024-05-01T01:00:00+02:00",
    "127.0.0.1:5000/x/y:1": "2024-04-30T20:00:00-02:00",
    "tool:none": None,
}


@pytest.fixture
def stored(rootless, tmp_path):
    import tarfile

    for number, (name, created) in enumerate(TIMES.items()):
        base = layer_tar({"n": str(number).encode()})
        config = json.loads(image_config([base], {"Labels": {"n": str(number), "all": ""}}))
        if created is not None:
            config["created"] = created
        data = json.dumps(config).encode()
        entry = {"Config": "c.json", "RepoTags": [name], "Layers": ["l.tar"]}
        with tarfile.open(tmp_path / "image.tar", "w") as archive:
            add_file(archive, "manifest.json", json.dumps([entry]).encode())
            add_file(archive, "c.json", data)
            add_file(archive, "l.tar", base)
        assert sha256(data)
        rootless("load", "-q", "-i", tmp_path / "image.tar").ok()
    return rootless


def names(stored, *arguments):
    form = ("--format", "{{.Repository}}:{{.Tag}}")
    return stored("images", *form, *arguments).ok().stdout.splitlines()


def test_images_are_listed_by_the_moment_they_were_made(stored):
    assert names(stored) == list(TIMES)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("team/*", ["team/app:2", "team/app:1"]),
        ("team/app:[^2]", ["team/app:1"]),
        ("to?l", ["tool:late", "tool:none"]),
        ("*:1", []),
        ("*/*:1", ["team/app:1"]),
        ("127.0.0.1:5000/*/*", ["127.0.0.1:5000/x/y:1"]),
        ("team/app", ["team/app:2", "team/app:1"]),
    ],
)
def test_images_by_pattern_as_argument_and_as_filter(stored, pattern, found):
    assert names(stored, pattern) == found
    assert names(stored, "-f", f"reference={pattern}") == found


def test_name_may_be_spelled_in_full(stored):
    assert names(stored, "docker.io/library/tool") == ["tool:late", "tool:none"]
    assert names(stored, "UPPER") == []  # with docker and podman too


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["reference=tool", "reference=team/app:1"], ["team/app:1", "tool:late", "tool:none"]),
        (["reference=tool", "label=n=2"], ["tool:late"]),
        (["label=all", "label=n=0"], ["team/app:2"]),
        (["label=n=0", "label=n=1"], []),
        (["since=team/app:1"], ["team/app:2"]),
        (["since=tool:late"], ["team/app:2", "team/app:1"]),
        (["before=tool:late"], ["127.0.0.1:5000/x/y:1", "tool:none"]),
        (["since=127.0.0.1:5000/x/y:1", "before=team/app:2"], ["team/app:1", "tool:late"]),
        (["until=2024-04-30T22:30:00Z"], ["127.0.0.1:5000/x/y:1", "tool:none"]),
        (["dangling=1"], []),
    ],
)
def test_images_by_several_filters(stored, filters, found):
    assert names(stored, *(word for each in filters for word in ("--filter", each))) == found


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("volume", "get tool:late: no such volume"),
        ("network", "network tool:late not found"),
        ("plugin", 'plugin "tool:late" not found'),
        ("service", "This node is not a swarm manager."),
    ],
)
def test_kind_of_which_there_is_none_is_not_found(stored, kind, message):
    result = stored("inspect", "--type", kind, "tool:late")
    assert (result.status, result.stdout) == (1, "[]\n")
    assert result.stderr == f"Error: {message}\n"


def test_kind_that_is_none_is_refused(stored):
    result = stored("inspect", "--type", "thing", "tool:late")
    assert (result.status, 'unknown type: "thing"' in result.stderr) == (1, True)


def test_platform_of_an_image_is_asked_for(stored, tmp_path):
    same = ("--platform", "linux/amd64")
    other = ("--platform", "linux/s390x")
    for command in (
        ("image", "inspect", "-f", "{{.Architecture}}"),
        ("history", "-q"),
        ("save", "-o", tmp_path / "saved"),
    ):
        stored(*command, *same, "tool:late").ok()
        assert stored(*command, *other, "tool:late").status == 1
        assert stored(*command, "--platform", "a/b/c/d", "tool:late").status == 1


def test_tags_of_a_registry_up_to_a_limit(rootless):
    from tests.support.registry import FakeRegistry, serving

    with serving(FakeRegistry(page=2)) as registry:
        for tag in ("1", "2", "3", "4", "5"):
            registry.put_image("app", tag, [layer_tar({})])
        name = f"{registry.host}/app"
        assert rootless("search-tags", "--limit", "3", name).ok().stdout == "1\n2\n3\n"
        assert rootless("search-tags", "--limit=0", name).ok().stdout in ("", "\n")
        shown = json.loads(rootless("search-tags", "--format", "json", name).ok().stdout)
        assert shown == {"Name": name, "Tags": ["1", "2", "3", "4", "5"]}
        assert rootless("search-tags", "--limit=x", name).status == 125
