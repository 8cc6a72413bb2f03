"""What is attested about images: the documents of buildx 0.29 for the same builds, with the digests and times of these."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import urllib.request

import pytest

from tests.support.docker_registry import docker_registry

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

BUILD = """FROM base:1 AS one
ARG A=1
RUN echo $A > /one
FROM base:1
COPY --from=one /one /
COPY --from=other:2 /bin/busybox /bb
"""
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(autouse=True)
def _other(builds):
    assert builds.rootless("tag", "base:1", "other:2").status == 0


class Archive:
    """The documents of an OCI archive."""

    def __init__(self, path):
        with tarfile.open(path) as archive:
            self._files = {
                member.name: archive.extractfile(member).read()
                for member in archive
                if member.isfile()
            }
        entry, *_ = json.loads(self._files["index.json"])["manifests"]
        self.index = self.document(entry["digest"])

    def document(self, digest):
        data = self._files[f"blobs/sha256/{digest.removeprefix('sha256:')}"]
        assert hashlib.sha256(data).hexdigest() == digest.removeprefix("sha256:")
        return json.loads(data)


def _exported(builds, tmp_path, *flags, dockerfile=BUILD):
    path = tmp_path / "out.tar"
    builds.context(dockerfile)
    done = builds.rootless(
        "build",
        "-t",
        "a/b:1",
        "-t",
        "c:2",
        *flags,
        "-o",
        f"type=oci,dest={path}",
        str(builds.directory),
    )
    assert done.status == 0, done.stderr
    return Archive(path)


def test_an_image_has_a_minimal_provenance(builds, tmp_path):
    archive = _exported(builds, tmp_path, "--provenance=mode=min")
    image, attestation = archive.index["manifests"]
    assert image["platform"]["os"] == "linux"
    assert attestation == {
        "mediaType": MANIFEST,
        "digest": attestation["digest"],
        "size": attestation["size"],
        "annotations": {
            "vnd.docker.reference.digest": image["digest"],
            "vnd.docker.reference.type": "attestation-manifest",
        },
        "platform": {"architecture": "unknown", "os": "unknown"},
    }
    manifest = archive.document(attestation["digest"])
    (layer,) = manifest["layers"]
    assert layer["mediaType"] == "application/vnd.in-toto+json"
    assert layer["annotations"] == {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}
    assert archive.document(manifest["config"]["digest"]) == {
        "architecture": "unknown",
        "os": "unknown",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    statement = archive.document(layer["digest"])
    platform = "/".join(image["platform"][name] for name in ("os", "architecture"))
    quoted = platform.replace("/", "%2F")
    materials = statement["predicate"]["materials"]
    metadata = statement["predicate"]["metadata"]
    digest = {"sha256": image["digest"].removeprefix("sha256:")}
    assert statement == {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://slsa.dev/provenance/v0.2",
        "subject": [
            {"name": f"pkg:docker/a/b@1?platform={quoted}", "digest": digest},
            {"name": f"pkg:docker/c@2?platform={quoted}", "digest": digest},
        ],
        "predicate": {
            "builder": {"id": ""},
            "buildType": "https://mobyproject.org/buildkit@v1",
            "materials": [
                {"uri": f"pkg:docker/{name}?platform={quoted}", "digest": material["digest"]}
                for name, material in zip(("base@1", "other@2"), materials, strict=True)
            ],
            "invocation": {
                "configSource": {"entryPoint": "Dockerfile"},
                "parameters": {
                    "frontend": "dockerfile.v0",
                    "locals": [{"name": "context"}, {"name": "dockerfile"}],
                },
                "environment": {"platform": platform},
            },
            "metadata": {
                "buildInvocationID": metadata["buildInvocationID"],
                "buildStartedOn": metadata["buildStartedOn"],
                "buildFinishedOn": metadata["buildFinishedOn"],
                "completeness": {"parameters": True, "environment": True, "materials": False},
                "reproducible": False,
                "https://mobyproject.org/buildkit@v1#metadata": {},
            },
        },
    }
    assert metadata["buildStartedOn"] < metadata["buildFinishedOn"]
    assert len(metadata["buildInvocationID"]) == 25


def test_arguments_and_labels_are_left_out_and_options_are_named(builds, tmp_path):
    archive = _exported(
        builds,
        tmp_path,
        "--provenance=mode=min,builder-id=https://b/1,version=v1",
        *("--build-arg", "A=hidden", "--label", "l=hidden", "--target", "one", "--no-cache"),
        *("--add-host", "h:1.2.3.4", "--network", "none"),
    )
    _, attestation = archive.index["manifests"]
    (layer,) = archive.document(attestation["digest"])["layers"]
    statement = archive.document(layer["digest"])
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert "hidden" not in json.dumps(statement)
    definition, details = (
        statement["predicate"][name] for name in ("buildDefinition", "runDetails")
    )
    assert definition["externalParameters"] == {
        "configSource": {"path": "Dockerfile"},
        "request": {
            "frontend": "dockerfile.v0",
            "args": {
                "add-hosts": "h=1.2.3.4",
                "force-network-mode": "none",
                "no-cache": "",
                "target": "one",
            },
            "locals": [{"name": "context"}, {"name": "dockerfile"}],
        },
    }
    assert [each["uri"].partition("?")[0] for each in definition["resolvedDependencies"]] == [
        "pkg:docker/base@1"
    ]
    assert details["builder"] == {"id": "https://b/1"}
    assert details["metadata"]["buildkit_completeness"] == {
        "request": False,
        "resolvedDependencies": False,
    }


def test_each_platform_has_an_attestation_of_its_own(builds, tmp_path):
    archive = _exported(
        builds,
        tmp_path,
        "--provenance=true",
        "--platform=linux/amd64,linux/arm64",
        dockerfile="FROM scratch\nARG TARGETARCH\nADD Dockerfile /$TARGETARCH\n",
    )
    amd64, arm64, *attestations = archive.index["manifests"]
    subjects = [each["annotations"]["vnd.docker.reference.digest"] for each in attestations]
    assert subjects == [amd64["digest"], arm64["digest"]]
    for subject, attestation in zip(subjects, attestations, strict=True):
        (layer,) = archive.document(attestation["digest"])["layers"]
        statement = archive.document(layer["digest"])
        assert {each["digest"]["sha256"] for each in statement["subject"]} == {
            subject.removeprefix("sha256:")
        }
        assert "materials" not in statement["predicate"]


def test_an_image_with_an_attestation_is_used_like_any_other(builds):
    builds.ok(BUILD, "--provenance=mode=min")
    assert builds.sh("cat /one") == "1\n"
    assert builds.inspect()["RepoTags"] == ["t:latest"]
    assert builds.rootless("system", "check").status == 0
    assert builds.rootless("rmi", "t").status == 0
    assert builds.rootless("system", "check").status == 0


def test_a_pushed_image_is_what_its_attestation_is_about(builds, tmp_path):
    if shutil.which("docker-registry") is None:
        pytest.skip("needs docker-registry")
    with docker_registry(tmp_path / "registry") as host:
        context = builds.context(BUILD)
        metadata = tmp_path / "metadata"
        done = builds.rootless(
            *("build", "-t", f"{host}/app:1", "--push", "--provenance=mode=min"),
            *("--metadata-file", str(metadata), str(context)),
        )
        assert done.status == 0, done.stderr

        def read(path):
            accept = {"Accept": f"{INDEX}, {MANIFEST}"}
            request = urllib.request.Request(f"http://{host}/v2/app/{path}", headers=accept)
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.read()

        data = read("manifests/1")
        assert (
            f"sha256:{hashlib.sha256(data).hexdigest()}"
            == json.loads(metadata.read_text())["containerimage.digest"]
        )
        image, attestation = json.loads(data)["manifests"]
        assert attestation["annotations"]["vnd.docker.reference.digest"] == image["digest"]
        manifest = json.loads(read(f"manifests/{image['digest']}"))
        assert {each["mediaType"] for each in manifest["layers"]} == {
            "application/vnd.oci.image.layer.v1.tar+gzip"
        }
        (layer,) = json.loads(read(f"manifests/{attestation['digest']}"))["layers"]
        statement = json.loads(read(f"blobs/{layer['digest']}"))
        assert statement["subject"][0]["digest"]["sha256"] == image["digest"].removeprefix(
            "sha256:"
        )


@pytest.mark.parametrize("kind", ["local", "tar"])
def test_files_come_with_a_statement_about_them(builds, tmp_path, kind):
    dockerfile = "FROM scratch\nCOPY f /d/f\nCOPY f /g\n"
    place = tmp_path / "out"
    builds.ok(
        dockerfile, "--provenance=mode=min", "-o", f"type={kind},dest={place}", files={"f": "x"}
    )
    if kind == "tar":
        with tarfile.open(place) as archive:
            data = archive.extractfile("provenance.json").read()
            assert archive.getmember("provenance.json").mode == 0o600
    else:
        data = (place / "provenance.json").read_bytes()
    digest = {"sha256": hashlib.sha256(b"x").hexdigest()}
    assert json.loads(data)["subject"] == [
        {"name": "d/f", "digest": digest},
        {"name": "g", "digest": digest},
    ]


def test_merged_platforms_have_a_statement_each(builds, tmp_path):
    dockerfile = "FROM scratch\nARG TARGETARCH\nCOPY f /$TARGETARCH\n"
    place = f"type=local,dest={tmp_path}/out,platform-split=false"
    platforms = "--platform=linux/amd64,linux/arm64"
    builds.ok(dockerfile, "--provenance=true", platforms, "-o", place, files={"f": "x"})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "amd64",
        "arm64",
        "provenance.linux_amd64.json",
        "provenance.linux_arm64.json",
    ]


def test_a_docker_archive_cannot_hold_an_attestation(builds, tmp_path):
    done = builds(BUILD, "--provenance=true", "-o", f"type=docker,dest={tmp_path}/out.tar")
    assert done.status == 1
    assert "docker exporter does not support exporting manifest lists" in done.stderr
