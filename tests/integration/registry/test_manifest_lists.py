"""`manifest`, as a user of docker types it; beside the docker program where there is one."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Result, run_command
from tests.support.docker_registry import docker_registry
from tests.support.images import docker_archive, layer_tar, sha256
from tests.support.rootless import Rootless

pytestmark = pytest.mark.needs("docker-registry")
BASE = layer_tar({"etc/name": b"base\n"})


@pytest.fixture
def host(tmp_path: Path, rootless: Rootless) -> Iterator[str]:
    """A registry with app:amd64 and app:arm64, both of which say that they are for amd64."""
    with docker_registry(tmp_path / "registry") as host:
        for architecture in ("amd64", "arm64"):
            name = f"{host}/app:{architecture}"
            config = {"User": architecture}
            docker_archive(tmp_path / "made.tar", [BASE], tags=[name], config=config)
            rootless("load", "-i", tmp_path / "made.tar").ok()
            rootless("push", "-q", name).ok()
        yield host


def listed(rootless: Rootless, name: str, *options: str) -> list[dict[str, object]]:
    document = json.loads(rootless("manifest", "inspect", *options, name).ok().stdout)
    return document if "-v" in options else document["manifests"]


def test_list_is_made_amended_annotated_pushed_and_forgotten(rootless, host):
    name, amd, arm = f"{host}/app:1", f"{host}/app:amd64", f"{host}/app:arm64"
    assert (
        rootless("manifest", "create", name, amd).ok().stdout == f"Created manifest list {name}\n"
    )
    refused = rootless("manifest", "create", name, arm)
    assert (refused.status, "refusing to amend an existing" in refused.stderr) == (1, True)
    rootless("manifest", "create", "--amend", name, arm).ok()
    rootless("manifest", "create", "-a", "--insecure", name, arm).ok()
    assert len(listed(rootless, name)) == 2
    options = ("--os", "linux", "--arch", "arm64", "--variant", "v8", "--os-version", "5.1")
    features = ("--os-features", "sse4", "--os-features", "aes")
    rootless("manifest", "annotate", *options, *features, name, arm).ok()
    assert listed(rootless, name)[1]["platform"] == {
        "architecture": "arm64",
        "os": "linux",
        "os.version": "5.1",
        "os.features": ["sse4", "aes"],
        "variant": "v8",
    }
    digests = [str(each["digest"]) for each in listed(rootless, name)]
    (digest,) = rootless("manifest", "push", name).ok().stdout.splitlines()
    assert rootless("manifest", "push", "-p", name).ok().stdout == f"{digest}\n"
    gone = rootless("manifest", "push", name)
    assert (gone.status, gone.stderr) == (1, f"rootless: No such manifest: {name}\n")
    # Without a list here, it is what the registry has.
    assert [each["digest"] for each in listed(rootless, name)] == digests
    refs = [each["Ref"] for each in listed(rootless, name, "-v")]
    assert refs == [f"{name}@{each}" for each in digests]


def test_manifest_is_shown_with_its_bytes(rootless, host):
    name = f"{host}/app:amd64"
    shown = json.loads(rootless("manifest", "inspect", "--verbose", name).ok().stdout)
    raw = base64.b64decode(shown["Raw"])
    assert shown["Ref"] == name
    assert shown["Descriptor"]["digest"] == sha256(raw)
    assert shown["Descriptor"]["size"] == len(raw)
    assert shown["Descriptor"]["platform"] == {"architecture": "amd64", "os": "linux"}
    assert shown["OCIManifest"] == json.loads(raw)
    assert json.loads(rootless("manifest", "inspect", name).ok().stdout) == json.loads(raw)


def test_manifest_of_a_list_is_shown_by_its_name(rootless, host):
    name, arm = f"{host}/app:1", f"{host}/app:arm64"
    rootless("manifest", "create", name, f"{host}/app:amd64", arm).ok()
    rootless("manifest", "annotate", "--arch", "arm64", name, arm).ok()
    shown = json.loads(rootless("manifest", "inspect", "-v", name, arm).ok().stdout)
    assert shown["Ref"] == arm
    assert shown["Descriptor"]["platform"]["architecture"] == "arm64"
    assert json.loads(rootless("manifest", "inspect", name, arm).ok().stdout)["layers"]
    unknown = rootless("manifest", "inspect", name, f"{host}/app:none")
    assert unknown.status == 1
    assert f"manifest for image {host}/app:none does not exist in {name}" in unknown.stderr


def test_what_is_not_there_is_said_and_the_rest_is_done(rootless, host):
    name = f"{host}/app:1"
    rootless("manifest", "create", name, f"{host}/app:amd64").ok()
    removed = rootless("manifest", "rm", f"{host}/none:1", name, f"{host}/none:2")
    assert removed.status == 1
    assert removed.stderr.splitlines() == [f"No such manifest: {host}/none:{n}" for n in (1, 2)]
    assert rootless("manifest", "rm", name).status == 1
    missing = rootless("manifest", "inspect", f"{host}/app:none")
    assert (missing.status, missing.stderr) == (
        1,
        f"rootless: no such manifest: {host}/app:none\n",
    )
    empty = rootless("manifest", "annotate", "--arch", "arm64", name, f"{host}/app:amd64")
    assert (empty.status, f"No such manifest: {name}" in empty.stderr) == (1, True)


@pytest.mark.needs("docker-cli")
def test_docker_makes_the_same_list(rootless, host, tmp_path):
    environ = os.environ | {"HOME": str(tmp_path)}

    def docker(command: str, *arguments: str) -> Result:
        insecure = () if command in ("annotate", "rm") else ("--insecure",)
        argv = ["docker", "manifest", command, *insecure, *arguments]
        return run_command(argv, env=environ).ok()

    name, images = f"{host}/app:1", [f"{host}/app:{each}" for each in ("amd64", "arm64")]
    options = ("--os", "linux", "--arch", "arm64", "--variant", "v8")
    elsewhere, made = f"{host}/elsewhere:1", []
    for command in (docker, lambda *arguments: rootless("manifest", *arguments).ok()):
        command("create", elsewhere, *images)
        said = command("push", "--purge", elsewhere).stdout
        command("create", name, *images)
        command("annotate", *options, name, images[1])
        verbose = json.loads(command("inspect", "-v", name).stdout)
        plain = json.loads(command("inspect", name).stdout)
        out = command("push", "--purge", name).stdout
        there = json.loads(command("inspect", "-v", name).stdout)
        made.append((said, verbose, plain, out, there))
    assert made[0] == made[1]
    assert "Pushed ref" in made[0][0]
