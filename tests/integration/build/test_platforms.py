"""Builds for several platforms: what each stage sees, how often it is built, and what becomes of the results."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import urllib.request

import pytest

from tests.support.docker_registry import docker_registry

pytestmark = [
    pytest.mark.needs("userns", "fuse", "busybox"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="expects a machine of linux/amd64"),
]

THREE = ("--platform", "linux/amd64,linux/arm64,linux/arm/v7")
TWO = ("--platform", "linux/amd64", "--platform", "linux/arm64")
SHOWN = """FROM --platform=$BUILDPLATFORM base:1 AS build
ARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT
RUN echo "$TARGETPLATFORM $TARGETOS $TARGETARCH $TARGETVARIANT" > /platform
FROM scratch
COPY --from=build /platform /platform
"""
INDEX = "application/vnd.oci.image.index.v1+json"
AARCH64 = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 183)
"""The beginning of a program for arm64; e_machine is at the byte 18 (elf(5))."""


def steps(shown):
    """The names of the steps of RUN and COPY."""
    lines = (line.partition(" ")[2] for line in shown.splitlines() if line.startswith("#"))
    return sorted(
        line
        for line in lines
        if line.startswith("[") and "] FROM" not in line and "internal" not in line
    )


def document(builds, digest):
    """A manifest or a config of the store."""
    (path,) = builds.rootless.data.glob(f"*/**/blobs/sha256/{digest.removeprefix('sha256:')}")
    return json.loads(path.read_text())


def test_each_platform_sees_its_own_arguments(builds, tmp_path):
    shown = builds.ok(SHOWN, *THREE, "-o", str(tmp_path / "out"))
    found = {path.parent.name: path.read_text() for path in (tmp_path / "out").glob("*/platform")}
    assert found == {
        "linux_amd64": "linux/amd64 linux amd64 \n",
        "linux_arm64": "linux/arm64 linux arm64 \n",
        "linux_arm_v7": "linux/arm/v7 linux arm v7\n",
    }
    names = [name.partition("]")[0] for name in steps(shown)]
    assert names == [
        "[linux/amd64 build 2/2",
        "[linux/amd64 stage-1 2/2",
        "[linux/amd64->arm/v7 build 2/2",
        "[linux/amd64->arm64 build 2/2",
        "[linux/arm/v7 stage-1 2/2",
        "[linux/arm64 stage-1 2/2",
    ]
    assert shown.count("[linux/amd64 internal] load metadata for docker.io/library/base:1") == 1


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_a_stage_that_no_platform_changes_is_built_once(builds, tmp_path, jobs):
    dockerfile = """FROM --platform=$BUILDPLATFORM base:1 AS once
RUN cat /proc/sys/kernel/random/uuid > /once
FROM --platform=$BUILDPLATFORM once AS twice
ARG TARGETARCH
RUN cat /proc/sys/kernel/random/uuid > /twice
FROM scratch
COPY --from=once /once /
COPY --from=twice /twice /
"""
    shown = builds.ok(dockerfile, *TWO, "--no-cache", "--jobs", jobs, "-o", str(tmp_path / "out"))
    assert sum("once 2/2] RUN" in name for name in steps(shown)) == 1
    assert sum("twice 2/2] RUN" in name for name in steps(shown)) == 2
    found = {
        (path.parent.name, path.name): path.read_text()
        for path in (tmp_path / "out").glob("linux_*/*")
    }
    assert found["linux_amd64", "once"] == found["linux_arm64", "once"]
    assert found["linux_amd64", "twice"] != found["linux_arm64", "twice"]


def test_the_result_is_an_index_in_the_store(builds, tmp_path):
    builds.ok(
        SHOWN, *THREE, "--iidfile", str(tmp_path / "id"), "--metadata-file", str(tmp_path / "md")
    )
    digest = (tmp_path / "id").read_text()
    metadata = json.loads((tmp_path / "md").read_text())
    assert metadata["containerimage.digest"] == digest
    assert metadata["containerimage.descriptor"]["mediaType"] == INDEX
    index = document(builds, digest)
    assert index["mediaType"] == INDEX
    assert [each["platform"] for each in index["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
        {"architecture": "arm", "os": "linux", "variant": "v7"},
    ]
    for each in index["manifests"]:
        config = document(builds, document(builds, each["digest"])["config"]["digest"])
        assert {name: config[name] for name in each["platform"]} == each["platform"]
    rows = [
        json.loads(line)
        for line in builds.rootless("images", "--format", "json").stdout.splitlines()
    ]
    assert sorted((row["Repository"], row["Tag"]) for row in rows) == [
        ("base", "1"),
        ("t", "latest"),
    ]
    assert builds.inspect()["Architecture"] == "amd64"
    done = builds.rootless("image", "inspect", "--platform", "linux/arm64", "t")
    assert json.loads(done.stdout)[0]["Architecture"] == "arm64"
    # By the id that `images` shows, and by that of the index.
    for name in (builds.inspect()["Id"][7:19], digest):
        assert builds.rootless("image", "inspect", name).status == 0
    assert builds.rootless("rmi", "t").status == 0
    assert builds.rootless("system", "check").status == 0
    assert builds.rootless("images", "-q").stdout.count("\n") == 1


def test_run_takes_the_image_of_the_platform_that_is_asked_for(builds):
    dockerfile = """FROM --platform=$BUILDPLATFORM base:1
ARG TARGETARCH
RUN echo $TARGETARCH > /arch
"""
    builds.ok(dockerfile, "--platform", "linux/amd64,linux/386")
    assert builds.sh("cat /arch") == "amd64\n"
    assert builds.rootless("run", "--rm", "t", "cat", "/arch").stdout == "amd64\n"


def test_an_index_without_this_machine_is_listed_and_removed(builds):
    builds.ok("FROM scratch\nCOPY f /f\n", "--platform", "linux/arm64,linux/s390x", files={"f": ""})
    assert "t" in builds.rootless("images", "--format", "{{.Repository}}").stdout.split()
    assert builds.inspect()["Architecture"] == "arm64"
    assert builds.rootless("rmi", "t").status == 0


def test_an_archive_has_a_directory_for_each_platform(builds, tmp_path):
    builds.ok(SHOWN, *TWO, "-o", f"type=tar,dest={tmp_path}/out.tar")
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert [member.name for member in archive] == [
            "linux_amd64",
            "linux_amd64/platform",
            "linux_arm64",
            "linux_arm64/platform",
        ]
        assert archive.extractfile("linux_arm64/platform").read() == b"linux/arm64 linux arm64 \n"


def test_directories_are_split_or_merged_as_asked(builds, tmp_path):
    place = f"type=local,dest={tmp_path}/one,platform-split=true"
    builds.ok(SHOWN, "--platform", "linux/arm64", "-o", place)
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["linux_arm64"]
    dockerfile = "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /all/\n"
    files = {"amd64": "a", "arm64": "b"}
    place = f"type=local,dest={tmp_path}/both,platform-split=false"
    builds.ok(dockerfile, *TWO, "-o", place, files=files)
    assert sorted(path.name for path in (tmp_path / "both/all").iterdir()) == ["amd64", "arm64"]
    for kind in ("local", "tar"):
        place = f"type={kind},dest={tmp_path}/conflict,platform-split=false"
        done = builds(SHOWN, *TWO, "-o", place)
        assert done.status == 1
        assert (
            "ERROR: failed to build: failed to solve: cannot overwrite platform from linux/amd64 with "
            "linux/arm64 when split option is disabled"
        ) in done.stderr
        assert not (tmp_path / "conflict").exists()


def test_an_oci_archive_has_the_index_and_a_docker_archive_is_refused(builds, tmp_path):
    builds.ok(SHOWN, *TWO)  # an image of the same content stays
    builds.ok(SHOWN, *TWO, "-o", f"type=oci,dest={tmp_path}/out.tar")
    with tarfile.open(tmp_path / "out.tar") as archive:
        (entry,) = json.load(archive.extractfile("index.json"))["manifests"]
        names = archive.getnames()

        def read(digest):
            return json.load(archive.extractfile(f"blobs/sha256/{digest.removeprefix('sha256:')}"))

        assert entry["mediaType"] == INDEX
        for each in read(entry["digest"])["manifests"]:
            manifest = read(each["digest"])
            for blob in (manifest["config"], *manifest["layers"]):
                assert f"blobs/sha256/{blob['digest'].removeprefix('sha256:')}" in names
    assert builds.inspect()["RepoTags"] == ["t:latest"]
    done = builds(SHOWN, *TWO, "-o", f"type=docker,dest={tmp_path}/docker.tar")
    assert done.status == 1
    assert (
        "docker exporter does not support exporting manifest lists, use the oci exporter instead"
        in done.stderr
    )


def test_save_writes_the_index_or_the_image_of_one_platform(builds, tmp_path):
    builds.ok(SHOWN, *TWO)
    for flags, kinds in (
        ((), {INDEX}),
        (("--platform", "linux/arm64"), {"application/vnd.oci.image.manifest.v1+json"}),
    ):
        path = tmp_path / "saved.tar"
        done = builds.rootless("save", "--format", "oci-archive", *flags, "-o", str(path), "t")
        assert done.status == 0, done.stderr
        with tarfile.open(path) as archive:
            index = json.load(archive.extractfile("index.json"))
        assert {each["mediaType"] for each in index["manifests"]} == kinds
        path.unlink()


def test_push_sends_every_platform(builds, tmp_path):
    if shutil.which("docker-registry") is None:
        pytest.skip("needs docker-registry")
    builds.ok(SHOWN, *TWO)
    with docker_registry(tmp_path / "registry") as host:

        def read(path):
            headers = {"Accept": f"{INDEX}, application/vnd.oci.image.manifest.v1+json"}
            request = urllib.request.Request(f"http://{host}/v2/app/{path}", headers=headers)
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.read()

        assert builds.rootless("tag", "t", f"{host}/app:1").status == 0
        done = builds.rootless("push", f"{host}/app:1")
        assert done.status == 0, done.stderr
        data = read("manifests/1")
        assert hashlib.sha256(data).hexdigest() in done.stdout
        for each in json.loads(data)["manifests"]:
            inner = read(f"manifests/{each['digest']}")
            assert len(inner) == each["size"]
            manifest = json.loads(inner)
            assert (
                json.loads(read(f"blobs/{manifest['config']['digest']}"))["architecture"]
                == (each["platform"]["architecture"])
            )
            for layer in manifest["layers"]:
                assert layer["mediaType"].endswith("+gzip")
                assert len(read(f"blobs/{layer['digest']}")) == layer["size"]
        for platform, text in (("linux/arm64", "arm64"), ("linux/amd64", "amd64")):
            done = builds.rootless("pull", "--platform", platform, f"{host}/app:1")
            assert done.status == 0, done.stderr
            found = json.loads(builds.rootless("image", "inspect", f"{host}/app:1").stdout)
            assert found[0]["Architecture"] == text


def test_a_base_of_each_platform_is_pulled_and_keeps_its_name(builds, tmp_path):
    if shutil.which("docker-registry") is None:
        pytest.skip("needs docker-registry")
    dockerfile = """FROM --platform=$BUILDPLATFORM base:1 AS b
ARG TARGETARCH
RUN echo $TARGETARCH > /arch
FROM scratch
COPY --from=b /arch /
"""
    builds.ok(dockerfile, *TWO)
    with docker_registry(tmp_path / "registry") as host:
        name = f"{host}/app:1"
        for words in (("tag", "t", name), ("push", name), ("rmi", "-f", name)):
            done = builds.rootless(*words)
            assert done.status == 0, done.stderr
        assert builds.rootless("pull", name).status == 0
        out = tmp_path / "out"
        builds.ok(f"FROM {name}\n", *TWO, "-o", str(out))
        assert [(out / f"linux_{each}/arch").read_text() for each in ("amd64", "arm64")] == [
            "amd64\n",
            "arm64\n",
        ]
    # Without the registry: both are here, under one name, which is that of this machine for other commands.
    builds.ok(f"FROM {name}\n", *TWO, "-o", str(tmp_path / "again"))
    found = json.loads(builds.rootless("image", "inspect", name).stdout)
    assert found[0]["Architecture"] == "amd64"
    assert "<none>" not in builds.rootless("images").stdout
    assert builds.rootless("system", "check").status == 0


@pytest.mark.parametrize(
    ("platform", "message"),
    [
        ("foo", '"foo": unknown operating system or architecture'),
        ("linux/amd64,", "invalid platform ''"),
    ],
)
def test_platforms_that_make_no_sense_are_refused(builds, platform, message):
    done = builds("FROM base:1\n", "--platform", platform)
    assert done.status != 0
    assert message in done.stderr


def _with_foreign_shell(builds):
    builds.directory.mkdir(exist_ok=True)
    with tarfile.open(builds.directory / "root.tar", "w") as archive:
        member = tarfile.TarInfo("bin/sh")
        member.mode, member.size = 0o755, 64
        archive.addfile(member, io.BytesIO(AARCH64.ljust(64, b"\0")))
    return "FROM scratch\nADD root.tar /\nRUN echo foreign > /out\n"


def test_a_program_for_another_platform_needs_an_emulator(builds):
    done = builds(_with_foreign_shell(builds), "--platform", "linux/arm64")
    assert done.status == 1
    assert "exec format error" in done.stderr
    assert (
        'process "/bin/sh -c echo foreign > /out" did not complete successfully: exit code: 255'
        in done.stderr
    )
    assert "needs an emulator that is registered with binfmt_misc" in done.stderr
    assert "Dockerfile:3" in done.stderr


def test_an_emulator_that_the_host_has_registered_is_used(builds, tmp_path):
    """In a user namespace of its own, which has handlers of its own since Linux 6.7."""
    dockerfile = _with_foreign_shell(builds)
    context = builds.context(dockerfile)
    emulator = tmp_path / "busybox"
    shutil.copy(shutil.which("busybox"), emulator)
    magic, mask = "".join(f"\\x{byte:02x}" for byte in AARCH64), "\\xff" * len(AARCH64)
    script = f"""mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 77
printf '%s' ':arm64:M::{magic}:{mask}:{emulator}:F' > /proc/sys/fs/binfmt_misc/register || exit 77
exec "$@"
"""
    build = [sys.executable, "-m", "rootless", "build", "--platform", "linux/arm64"]
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, "sh", *build, "-o", str(tmp_path / "out"), context],
        env=builds.rootless.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("needs binfmt_misc in user namespaces (Linux 6.7)")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/out").read_text() == "foreign\n"
