"""Where a build goes: the store, directories, archives, registries, and what is written beside."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

TREE = """FROM base:1 AS build
RUN mkdir /out && echo made > /out/f && chown 5:6 /out/f && chmod 4755 /out/f && ln -s f /out/l
FROM scratch
COPY --from=build /out /
"""


def test_files_in_a_directory_are_the_callers(builds, tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "own").write_text("stays")
    (target / "l").write_text("goes")
    done = builds(TREE, "-o", str(target))
    assert done.status == 0, done.stderr
    assert sorted(each.name for each in target.iterdir()) == ["f", "l", "own"]
    assert (target / "f").read_text() == "made\n"
    assert (target / "f").stat().st_mode & 0o7777 == 0o755
    assert (target / "l").is_symlink()
    assert builds.rootless("image", "ls", "-q", "t").stdout == ""


def test_files_as_an_archive_keep_their_owners(builds, tmp_path):
    path = tmp_path / "out.tar"
    assert builds(TREE, "-o", f"type=tar,dest={path}").status == 0
    with tarfile.open(path) as archive:
        found = {each.name: (oct(each.mode), each.uid, each.gid) for each in archive}
    assert found["f"] == ("0o4755", 5, 6)
    context = builds.context(TREE)
    done = builds.rootless.popen("build", "-o", "-", str(context))
    output, _ = done.communicate(timeout=120)
    with tarfile.open(fileobj=io.BytesIO(output)) as archive:
        assert "f" in archive.getnames()


@pytest.mark.parametrize("kind", ["docker", "oci"])
def test_an_image_as_an_archive_is_not_in_the_store(builds, tmp_path, kind):
    path = tmp_path / "image.tar"
    assert builds(TREE, "-o", f"type={kind},dest={path}").status == 0
    before = builds.rootless("image", "ls", "-aq").stdout
    assert len(before.split()) == 1  # the base
    assert builds.rootless("load", "-i", str(path)).status == 0
    assert builds.rootless("image", "ls", "-q", "t").stdout != ""
    assert builds.rootless("system", "check").status == 0


def test_an_archive_of_an_image_that_is_there_leaves_it(builds, tmp_path):
    builds.ok(TREE)
    assert builds(TREE, "-o", f"type=oci,dest={tmp_path}/layout,tar=false").status == 0
    assert (tmp_path / "layout/oci-layout").exists()
    assert builds.rootless("image", "ls", "-q", "t").stdout != ""


def test_metadata_and_annotations(builds, tmp_path):
    path = tmp_path / "metadata.json"
    builds.ok(TREE, "--metadata-file", str(path), "--annotation", "a=b", "-t", "second:1")
    found = json.loads(path.read_text())
    assert found["containerimage.config.digest"] == builds.inspect()["Id"]
    assert found["image.name"] == "docker.io/library/t:latest,docker.io/library/second:1"
    blob = builds.rootless.data / "rootless/blobs/sha256" / found["containerimage.digest"][7:]
    assert json.loads(blob.read_bytes())["annotations"] == {"a": "b"}
    assert builds.rootless("image", "inspect", "second:1").status == 0


def test_squashed_layers_are_one(builds):
    builds.ok(
        """FROM base:1
RUN mkdir /d && echo 1 > /d/a && echo 1 > /d/b && ln /d/a /d/c
RUN rm /d/b /etc/group && rm -rf /home && mkdir /home && echo new > /home/f
RUN chmod 700 /root && echo 2 >> /d/a
""",
        "--squash",
    )
    layers = builds.layers()
    assert len(layers) == 2
    assert sorted(each.name for each in layers[1] if not each.isdir()) == [
        "d/a",
        "d/c",
        "etc/.wh.group",
        "home/.wh.worker",
        "home/f",
    ]
    assert builds.sh(
        "cat /d/c; ls /home /etc/group 2>/dev/null; stat -c '%a %h' /root /d/a"
    ).split() == [
        *("1", "2", "/home:", "f"),
        *("700", "2", "644", "2"),
    ]


def test_stages_without_cache(builds):
    dockerfile = """FROM base:1 AS one
RUN cat /proc/sys/kernel/random/uuid > /one
FROM base:1
COPY --from=one /one /one
RUN cat /proc/sys/kernel/random/uuid > /two
"""
    builds.ok(dockerfile)
    first = builds.sh("cat /two; cat /one").split()
    builds.ok(dockerfile, "--no-cache-filter", "one")
    second = builds.sh("cat /two; cat /one").split()
    assert first[1] != second[1]


def test_equal_times_make_equal_images(builds):
    dockerfile = "FROM base:1\nCOPY f /d/f\nWORKDIR /w\nRUN echo x > /x; mkdir /y\n"
    builds.ok(dockerfile, "--build-arg", "SOURCE_DATE_EPOCH=1600000000", files={"f": "f"})
    first = builds.inspect()
    builds.ok(dockerfile, "--build-arg", "SOURCE_DATE_EPOCH=1600000000", "--no-cache")
    assert builds.inspect()["Id"] == first["Id"]
    assert first["Created"].startswith("2020-09-13T12:26:40")


def test_rewritten_times_make_images_of_cached_steps_equal(builds, tmp_path):
    dockerfile = "FROM base:1\nCOPY f /d/f\nWORKDIR /w\nRUN echo x > /x; mkdir /y\nENV A=1\n"
    epoch = ("--build-arg", "SOURCE_DATE_EPOCH=1600000000")
    builds.ok(dockerfile, files={"f": "f"})
    below = builds.layers()[0]
    shown = builds.ok(dockerfile, *epoch, "--rewrite-timestamp")
    assert "CACHED" in shown
    first = builds.inspect()
    layers = builds.layers()
    assert {each.mtime for layer in layers[1:] for each in layer} <= {1600000000, 0}
    assert any(each.mtime == 1600000000 for each in layers[3])
    assert [each.mtime for each in layers[0]] == [each.mtime for each in below]
    assert first["Created"].startswith("2020-09-13T12:26:40")
    assert builds.sh("cat /d/f /x; stat -c %Y /y").split() == ["fx", "1600000000"]
    # The steps in the cache stay as they were.
    builds.ok(dockerfile)
    assert int(builds.sh("stat -c %Y /y")) > 1700000000
    builds.ok(dockerfile, *epoch, "--no-cache")
    assert builds.inspect()["Id"] == first["Id"]
    path = tmp_path / "image.tar"
    builds.ok(dockerfile, *epoch, "-o", f"type=oci,dest={path},rewrite-timestamp=true")
    with tarfile.open(path) as archive:
        assert f"blobs/sha256/{first['Id'][7:]}" in archive.getnames()


def test_times_are_rewritten_only_with_an_epoch(builds):
    shown = builds.ok("FROM base:1\nRUN echo x > /x\n", "--rewrite-timestamp")
    assert "SOURCE_DATE_EPOCH is not" in shown
    assert int(builds.sh("stat -c %Y /x")) > 1700000000


def test_what_makes_no_sense_is_refused(builds):
    for flags, message in (
        (("-o", "type=nonsense"), "unknown exporter 'nonsense'"),
        (("-o", "type=local"), "dest is required for local exporter"),
    ):
        done = builds("FROM base:1\n", *flags)
        assert done.status == 1
        assert message in done.stderr
    context = builds.context("FROM base:1\n")
    done = builds.rootless("build", "--push", str(context))
    assert "tag is needed when pushing to registry" in done.stderr
