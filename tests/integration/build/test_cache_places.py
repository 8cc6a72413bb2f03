"""The cache of a build at registries, in OCI layouts and in images, for a store that has none of it."""

from __future__ import annotations

import base64
import json
import shutil
import urllib.request

import pytest

from tests.integration.build.test_cache import cached
from tests.support.docker_registry import docker_registry
from tests.support.rootless import Rootless

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

CONFIG_TYPE = "application/vnd.buildkit.cacheconfig.v0"
UUID = "cat /proc/sys/kernel/random/uuid"
STAGES = f"""FROM base:1 AS one
RUN {UUID} > /one
FROM base:1
RUN {UUID} > /two
COPY --from=one /one /copied
"""


@pytest.fixture
def host(tmp_path):
    if shutil.which("docker-registry") is None:
        pytest.skip("needs docker-registry")
    with docker_registry(tmp_path / "registry") as host:
        yield host


@pytest.fixture
def forget(builds):
    """Removes the image and every step from the store."""

    def forget():
        assert builds.rootless("rmi", "-f", "t").status == 0
        assert builds.rootless("builder", "prune", "-a", "-f").status == 0

    return forget


def _push(builds, ref):
    """Push the image, and remove that name of it."""
    for words in (("tag", "t", ref), ("push", ref), ("rmi", "-f", ref)):
        done = builds.rootless(*words)
        assert done.status == 0, done.stderr


def _read(host, path):
    """A JSON document of the repository `app`."""
    accept = "application/vnd.oci.image.manifest.v1+json"
    request = urllib.request.Request(f"http://{host}/v2/app/{path}", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def test_a_registry_serves_the_steps_of_the_image_to_another_store(builds, forget, host):
    ref = f"{host}/app:cache"
    shown = builds.ok(STAGES, "--cache-to", f"type=registry,ref={ref}")
    assert "exporting cache to registry" in shown
    before = builds.sh("cat /copied /two")
    forget()
    # Stage one is built again: its layers are not of the image.
    shown = builds.ok(STAGES, "--cache-from", ref)
    assert f"importing cache manifest from {ref}" in shown
    assert f"RUN {UUID} > /two" in cached(shown)
    assert f"RUN {UUID} > /one" not in cached(shown)
    assert builds.sh("cat /two") == before.splitlines()[1] + "\n"


def test_mode_max_has_the_steps_of_all_stages(builds, forget, host):
    ref = f"{host}/app:cache"
    builds.ok(STAGES, "--cache-to", f"type=registry,ref={ref},mode=max")
    image = builds.inspect()["Id"]
    manifest = _read(host, "manifests/cache")
    assert manifest["config"]["mediaType"] == CONFIG_TYPE
    assert {each["mediaType"] for each in manifest["layers"]} == {
        "application/vnd.oci.image.layer.v1.tar+gzip"
    }
    for each in manifest["layers"]:
        assert each["annotations"].keys() == {"buildkit/createdat", "containerd.io/uncompressed"}
    config = _read(host, f"blobs/{manifest['config']['digest']}")
    assert [each["blob"] for each in config["layers"]] == [
        each["digest"] for each in manifest["layers"]
    ]
    assert sorted(each["layers"][0]["layer"] for each in config["records"]) == [0, 1, 2]
    forget()
    shown = builds.ok(STAGES, "--cache-from", f"type=registry,ref={ref}")
    assert len(cached(shown)) == 3 + 2  # the steps, and FROM of each stage
    assert builds.inspect()["Id"] == image


def test_steps_that_the_store_has_are_not_fetched(builds, host):
    ref = f"{host}/app:cache"
    builds.ok(STAGES, "--cache-to", f"type=registry,ref={ref},mode=max")
    image = builds.inspect()["Id"]
    shown = builds.ok(STAGES, "--cache-from", ref)
    assert len(cached(shown)) == 3 + 2
    assert builds.inspect()["Id"] == image


def test_an_image_with_an_inline_cache_serves_another_store(builds, forget, host):
    ref = f"{host}/app:1"
    builds.ok(STAGES, "--cache-to", "type=inline,mode=max")
    _push(builds, ref)
    image = builds.inspect()["Id"]
    before = builds.sh("cat /two")
    manifest = _read(host, "manifests/1")
    config = _read(host, f"blobs/{manifest['config']['digest']}")
    records = json.loads(base64.b64decode(config["moby.buildkit.cache.v0"]))
    # The steps of stage one are not among them; layer 0 is of the base.
    assert sorted(each["layers"][0]["layer"] for each in records) == [1, 2]
    forget()
    shown = builds.ok(STAGES, "--cache-from", ref)
    assert f"RUN {UUID} > /two" in cached(shown)
    assert builds.sh("cat /two") == before
    assert builds.inspect()["Id"] != image  # it has no cache in it


def test_an_image_without_a_cache_serves_nothing_and_does_no_harm(builds, forget, host):
    ref = f"{host}/app:1"
    builds.ok(STAGES)
    _push(builds, ref)
    forget()
    shown = builds.ok(STAGES, "--cache-from", ref)
    assert f"RUN {UUID} > /two" not in cached(shown)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ("compression=zstd,compression-level=9", "application/vnd.oci.image.layer.v1.tar+zstd"),
        ("compression=uncompressed", "application/vnd.oci.image.layer.v1.tar"),
        ("compression=gzip,compression-level=9", "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("oci-mediatypes=false", "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        ("image-manifest=false", "application/vnd.oci.image.layer.v1.tar+gzip"),
    ],
)
def test_a_layout_has_the_form_that_is_asked_for(builds, forget, tmp_path, options, kind):
    place = tmp_path / "cache"
    shown = builds.ok(STAGES, "--cache-to", f"type=local,dest={place},mode=max,{options}")
    assert "exporting cache to client directory" in shown
    image = builds.inspect()["Id"]
    (entry,) = json.loads((place / "index.json").read_text())["manifests"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "latest"}
    document = json.loads(
        (place / "blobs/sha256" / entry["digest"].removeprefix("sha256:")).read_text()
    )
    assert document["mediaType"] == entry["mediaType"]
    if "layers" in document:
        layers = document["layers"]
    else:
        *layers, config = document["manifests"]
        assert config["mediaType"] == CONFIG_TYPE
    assert [each["mediaType"] for each in layers] == [kind] * 3
    forget()
    shown = builds.ok(STAGES, "--cache-from", f"type=local,src={place}")
    assert len(cached(shown)) == 3 + 2
    assert builds.inspect()["Id"] == image


def test_a_layout_has_several_caches_by_tag_and_by_digest(builds, forget, tmp_path):
    place = tmp_path / "cache"
    builds.ok(STAGES, "--cache-to", f"type=local,dest={place},mode=max,tag=x")
    other = f"FROM base:1\nRUN {UUID} > /other\n"
    builds.ok(other, "--cache-to", f"type=local,dest={place}")
    named = {
        each["annotations"]["org.opencontainers.image.ref.name"]: each["digest"]
        for each in json.loads((place / "index.json").read_text())["manifests"]
    }
    assert named.keys() == {"x", "latest"}
    forget()
    assert len(cached(builds.ok(other, "--cache-from", f"type=local,src={place},tag=x"))) == 1
    forget()
    found = f"type=local,src={place},digest={named['x']}"
    assert len(cached(builds.ok(STAGES, "--cache-from", found))) == 3 + 2
    done = builds(STAGES, "--cache-from", f"type=local,src={place},tag=nope")
    assert done.status == 1
    assert (
        'local cache importer requires either explicit digest, "latest" tag or custom tag on index.json'
        in done.stderr
    )


def test_a_place_that_cannot_be_read_does_not_stop_a_build(builds, host, tmp_path):
    shown = builds.ok(
        STAGES,
        *("--cache-from", f"{host}/nothing:1"),
        *("--cache-from", "127.0.0.1:1/nothing:1"),
        *("--cache-from", f"type=local,src={tmp_path}/nothing"),
        *("--cache-from", ""),
    )
    assert f"failed to configure registry cache importer: {host}/nothing:1: not found" in shown
    assert shown.count("ERROR: failed to configure") == 3


def test_a_layer_that_cannot_be_fetched_is_made_again(builds, forget, host, tmp_path):
    ref = f"{host}/app:cache"
    builds.ok(STAGES, "--cache-to", f"type=registry,ref={ref},mode=max")
    before = builds.sh("cat /copied /two")
    forget()
    shutil.rmtree(tmp_path / "registry/data/docker/registry/v2/repositories/app/_layers")
    for blob in (tmp_path / "registry/data/docker/registry/v2/blobs/sha256").glob("*/*/data"):
        if blob.read_bytes()[:2] == b"\x1f\x8b":
            blob.unlink()
    shown = builds.ok(STAGES, "--cache-from", ref)
    assert f"from {ref}" in shown
    assert builds.sh("cat /copied /two") != before


def test_a_cache_that_cannot_be_written_fails_the_build_unless_that_is_ignored(builds):
    place = "type=registry,ref=127.0.0.1:1/app:1"
    done = builds(STAGES, "--cache-to", place)
    assert done.status == 1
    assert "ERROR: failed to build: failed to solve: error writing the cache: " in done.stderr
    assert "exporting cache to registry" in done.stderr
    shown = builds.ok(STAGES, "--cache-to", f"{place},ignore-error=true")
    assert "ERROR: error writing the cache: " in shown
    # The image is there all the same.
    assert builds.sh("cat /copied") != ""


def test_stages_built_at_the_same_time_share_what_is_imported(builds, forget, host):
    dockerfile = f"""FROM base:1 AS a
RUN {UUID} > /a
FROM base:1 AS b
RUN {UUID} > /b
FROM base:1
COPY --from=a /a /
COPY --from=b /b /
"""
    ref = f"{host}/app:cache"
    builds.ok(dockerfile, "--jobs", "2", "--cache-to", f"type=registry,ref={ref},mode=max")
    image = builds.inspect()["Id"]
    forget()
    builds.ok(dockerfile, "--jobs", "2", "--cache-from", ref)
    assert builds.inspect()["Id"] == image


def test_another_store_finds_what_an_archive_of_the_base_was_built_on(
    builds, busybox_image, tmp_path
):
    """The base was brought in at another time, and is the same files."""
    place = tmp_path / "cache"
    builds.ok(STAGES, "--cache-to", f"type=local,dest={place},mode=max")
    before = builds.sh("cat /copied /two")
    other = Rootless(tmp_path / "elsewhere", builds.rootless.runtime)
    assert other("import", str(busybox_image), "base:1").status == 0
    done = other(
        "build", "-t", "t", "--cache-from", f"type=local,src={place}", str(builds.directory)
    )
    assert done.status == 0, done.stderr
    assert len(cached(done.stderr)) == 3 + 2
    assert other("run", "--rm", "t", "/bin/sh", "-c", "cat /copied /two").stdout == before
