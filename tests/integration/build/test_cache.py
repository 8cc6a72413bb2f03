"""The cache of steps: what is found again, what is not, and how it is removed."""

from __future__ import annotations

import json
import os

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

NODE = """FROM base:1
WORKDIR /app
COPY package.json ./
RUN cat package.json > installed && cat /proc/sys/kernel/random/uuid >> installed
COPY . .
"""


def cached(shown):
    """The names of the steps that were found."""
    names = {}
    found = []
    for line in shown.splitlines():
        number, _, text = line.partition(" ")
        if text.startswith("["):
            names[number] = text
        elif text == "CACHED":
            found.append(names[number].partition("] ")[2])
    return found


def test_a_build_without_changes_makes_the_same_image(builds):
    builds.ok(NODE, files={"package.json": "1", "src.js": "a"})
    first = builds.inspect()["Id"]
    shown = builds.ok(NODE)
    assert builds.inspect()["Id"] == first
    assert len(cached(shown)) == 5


def test_an_install_is_reused_when_only_sources_change(builds):
    builds.ok(NODE, files={"package.json": "1", "src.js": "a"})
    installed = builds.sh("cat /app/installed")
    shown = builds.ok(NODE, files={"src.js": "b"})
    assert (
        "RUN cat package.json > installed && cat /proc/sys/kernel/random/uuid >> installed"
        in cached(shown)
    )
    assert "COPY . ." not in cached(shown)
    assert builds.sh("cat /app/installed") == installed
    assert builds.sh("cat /app/src.js") == "b"


def test_times_do_not_count_but_contents_and_modes_do(builds):
    builds.ok(NODE, files={"package.json": "1"})
    path = builds.directory / "package.json"
    os.utime(path, (1, 1))
    assert "COPY package.json ./" in cached(builds.ok(NODE))
    path.chmod(0o600)
    assert "COPY package.json ./" not in cached(builds.ok(NODE))
    path.write_text("2")
    assert "COPY package.json ./" not in cached(builds.ok(NODE))


def test_arguments_count_from_where_they_are_in_effect(builds):
    dockerfile = "FROM base:1\nRUN echo before\nARG v\nRUN echo $v > /v\n"
    builds.ok(dockerfile, "--build-arg", "v=1")
    shown = builds.ok(dockerfile, "--build-arg", "v=2")
    assert "RUN echo before" in cached(shown)
    assert "RUN echo $v > /v" not in cached(shown)
    assert builds.sh("cat /v") == "2\n"


def test_proxy_arguments_reach_run_and_neither_key_nor_history(builds):
    dockerfile = "FROM base:1\nRUN echo $http_proxy > /proxy\n"
    builds.ok(dockerfile, "--build-arg", "HTTP_PROXY=http://one")
    assert builds.sh("cat /proxy") == "http://one\n"
    assert "RUN echo $http_proxy > /proxy" in cached(
        builds.ok(dockerfile, "--build-arg", "HTTP_PROXY=http://two")
    )
    assert "one" not in builds.history()[0]


def test_labels_and_the_like_do_not_make_later_steps_run_again(builds):
    builds.ok("FROM base:1\nLABEL a=1\nRUN cat /proc/sys/kernel/random/uuid > /t\n")
    before = builds.sh("cat /t")
    builds.ok("FROM base:1\nLABEL a=2\nRUN cat /proc/sys/kernel/random/uuid > /t\n")
    assert builds.sh("cat /t") == before


def test_no_cache_does_everything_again(builds):
    builds.ok("FROM base:1\nRUN cat /proc/sys/kernel/random/uuid > /t\n")
    before = builds.sh("cat /t")
    builds.ok("FROM base:1\nRUN cat /proc/sys/kernel/random/uuid > /t\n", "--no-cache")
    assert builds.sh("cat /t") != before


def test_the_cache_outlives_its_image_until_it_is_pruned(builds):
    builds.ok("FROM base:1\nRUN cat /proc/sys/kernel/random/uuid > /t\n")
    before = builds.sh("cat /t")
    assert builds.rootless("rmi", "t").status == 0
    assert builds.rootless("image", "prune", "-f").status == 0
    row = _cache_row(builds)
    assert (row["TotalCount"], row["Active"]) == ("1", "0")
    builds.ok("FROM base:1\nRUN cat /proc/sys/kernel/random/uuid > /t\n")
    assert builds.sh("cat /t") == before
    assert "Total:" in builds.rootless("builder", "du").stdout
    # The layer of the step is in an image now.
    assert builds.rootless("builder", "prune", "-f").status == 0
    assert _cache_row(builds)["TotalCount"] == "1"
    assert builds.rootless("rmi", "t").status == 0
    assert builds.rootless("system", "prune", "-f").status == 0
    assert _cache_row(builds)["TotalCount"] == "0"
    assert builds.rootless("system", "check").status == 0
    builds.ok("FROM base:1\nRUN cat /proc/sys/kernel/random/uuid > /t\n")
    assert builds.sh("cat /t") != before


def _cache_row(builds):
    lines = builds.rootless("system", "df", "--format", "json").stdout.splitlines()
    return next(row for row in map(json.loads, lines) if row["Type"] == "Build Cache")


def test_a_damaged_record_costs_only_the_step(builds):
    builds.ok("FROM base:1\nRUN cat /proc/sys/kernel/random/uuid > /t\n")
    steps = builds.rootless.data / "rootless/build/steps"
    for record in steps.iterdir():
        record.write_text("{")
    builds.ok("FROM base:1\nRUN cat /proc/sys/kernel/random/uuid > /t\n")
    assert builds.sh("cat /t") != ""


def test_damaged_layers_of_a_cache_are_not_used(builds, tmp_path):
    dockerfile = "FROM base:1\nRUN cat /proc/sys/kernel/random/uuid > /t\n"
    builds.ok(dockerfile, "--cache-to", f"type=local,dest={tmp_path}/cache")
    before = builds.sh("cat /t")
    (entry,) = json.loads((tmp_path / "cache/index.json").read_text())["manifests"]
    blobs = tmp_path / "cache/blobs/sha256"
    manifest = json.loads((blobs / entry["digest"].removeprefix("sha256:")).read_text())
    (layer,) = manifest["layers"]
    blob = blobs / layer["digest"].removeprefix("sha256:")
    blob.chmod(0o600)
    blob.write_bytes(bytes(layer["size"]))
    assert builds.rootless("rmi", "t").status == 0
    assert builds.rootless("builder", "prune", "-a", "-f").status == 0
    shown = builds.ok(dockerfile, "--cache-from", f"type=local,src={tmp_path}/cache")
    assert f"cannot import {layer['digest']} from {tmp_path}/cache: " in shown
    assert builds.sh("cat /t") != before


def test_explanations_name_what_has_changed(builds):
    dockerfile = "FROM base:1\nARG v\nWORKDIR /w\nCOPY f .\nRUN echo $v\nRUN true\n"

    def reasons(*flags, **more):
        shown = builds.ok(dockerfile, "--explain", *flags, **more)
        return [line.partition("because ")[2] for line in shown.splitlines() if "because" in line]

    assert reasons("--build-arg", "v=1", files={"f": "1"}) == ["it was not done before"] * 4
    assert reasons("--build-arg", "v=1") == []
    assert reasons("--build-arg", "v=2") == [
        "changed: the build argument v",
        "changed: the build argument v",
    ]
    assert reasons("--build-arg", "v=2", files={"f": "2"}) == [
        "changed: the content of the sources",
        "a step before it was done: COPY f .",
        "a step before it was done: RUN echo $v",
    ]
    assert reasons("--build-arg", "v=2", "--no-cache") == ["the cache is not used"] * 4


def test_explanations_name_the_variables_and_files_that_have_changed(builds):
    dockerfile = "FROM base:1\nENV a=1 b=2\nCOPY . /w\nRUN true\n"
    files = {
        "kept": "k",
        "same-size": "1",
        "d/mode": "m",
        "gone": "g",
        ".dockerignore": "Dockerfile",
    }
    builds.ok(dockerfile, files=files)
    (builds.directory / "gone").unlink()
    (builds.directory / "d/mode").chmod(0o755)
    shown = builds.ok(dockerfile, "--explain", files={"same-size": "2", "added": "a"})
    assert "changed files: /w/added (new), /w/d/mode, /w/gone (gone), /w/same-size" in shown
    shown = builds.ok(dockerfile.replace("a=1 b=2", "a=2 c=3"), "--explain")
    assert "executed because changed: the variables a, b, c" in shown
