"""What the store says of images and how they go away; importing a root file system."""

import gzip
import http.server
import io
import lzma
import os
import tarfile
import threading
import time
from pathlib import Path

import pytest

from rootless.containers.record import ContainerRecord
from rootless.containers.status import Status
from rootless.errors import InUseError, InvalidDocumentError, NotFoundError, UsageError
from rootless.filters import ImageFilters
from rootless.images.gc.remove import remove
from rootless.images.import_tar import import_tar
from rootless.images.inspect import history, inspect
from rootless.images.listing import list_images
from rootless.images.load import load
from rootless.images.tag import tag
from rootless.oci.platform import parse_platform
from rootless.store.image import resolve
from rootless.store.layers import layer_files
from rootless.store.layout import Store
from tests.support.images import add_file, docker_archive, sha256

CREATED = "2026-01-02T03:04:05Z"


def layer(text):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        add_file(archive, "file", text.encode())
    return buffer.getvalue()


BASE, TOP, OTHER = layer("base"), layer("top"), layer("other")


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store")
    docker_archive(
        tmp_path / "one.tar",
        [BASE, TOP],
        tags=["one:1", "quay.io/team/one:2"],
        config={"User": "7"},
    )
    docker_archive(tmp_path / "two.tar", [BASE, OTHER], tags=["two"])
    load(store, tmp_path / "one.tar")
    load(store, tmp_path / "two.tar")
    return store


def nobody():
    return []


def said(removals):
    return [str(each) for each in removals]


@pytest.mark.parametrize("name", ["one:1", "docker.io/library/one:1", "quay.io/team/one:2"])
def test_resolve_by_any_spelling(store, name):
    assert resolve(store, name).config["User"] == "7"


def test_resolve_by_id_prefix_and_digest(store):
    image = resolve(store, "one:1")
    for name in (
        image.id,
        image.id[7:],
        image.id[7:19],
        f"one@{image.manifest.digest}",
        image.manifest.digest,
    ):
        assert resolve(store, name).id == image.id


@pytest.mark.parametrize(
    ("name", "shown"),
    [("none", "none:latest"), ("one", "one:latest"), ("f" * 12, "f" * 12 + ":latest")],
)
def test_missing_image_is_docker_s_sentence(store, name, shown):
    with pytest.raises(NotFoundError, match=rf"^No such image: {shown}$"):
        resolve(store, name)


def test_malformed_name_is_said_to_be_malformed(store):
    with pytest.raises(UsageError, match="repository name must be lowercase"):
        resolve(store, "One:1")


def test_image_of_another_platform_than_wanted_is_refused(store):
    with pytest.raises(NotFoundError, match="wanted linux/s390x, actual linux/amd64"):
        resolve(store, "one:1", parse_platform("linux/s390x"))


def test_removing_one_name_of_two_keeps_the_image(store):
    assert said(remove(store, "one:1", nobody)) == ["Untagged: one:1"]
    assert resolve(store, "quay.io/team/one:2").config["User"] == "7"


def test_removing_the_last_name_deletes_what_only_this_image_had(store):
    image = resolve(store, "two")
    assert said(remove(store, "two", nobody)) == [
        "Untagged: two:latest",
        f"Deleted: {image.id}",
        f"Deleted: {sha256(OTHER)}",
    ]
    assert not store.has_layer(sha256(OTHER))
    assert not store.has_blob(image.id)
    assert not store.has_blob(image.manifest.digest)
    assert [
        Path(files.tar).read_bytes() for files in layer_files(store, resolve(store, "one:1"))
    ] == [
        BASE,
        TOP,
    ]


def test_removing_everything_leaves_an_empty_store(store):
    remove(store, resolve(store, "one:1").id, nobody, force=True)
    remove(store, "two", nobody)
    for directory in ("blobs/sha256", "layers", "chains"):
        assert os.listdir(Path(store.root) / directory) == []
    assert os.listdir(Path(store.root) / "tmp") == [".lock"]


def test_id_with_several_names_needs_force(store):
    image_id = resolve(store, "one:1").id
    with pytest.raises(InUseError, match=r"must be forced.*multiple repositories"):
        remove(store, image_id[7:19], nobody)
    assert said(remove(store, image_id[7:19], nobody, force=True))[:3] == [
        "Untagged: one:1",
        "Untagged: quay.io/team/one:2",
        f"Deleted: {image_id}",
    ]


def record(store, status):
    return ContainerRecord(
        id="c" * 64, name="c", created=CREATED, status=status, image_id=resolve(store, "two").id
    )


def test_image_of_a_running_container_cannot_be_removed(store):
    users = [record(store, Status.RUNNING)]
    with pytest.raises(InUseError, match=r"must force.*container cccccccccccc is using"):
        remove(store, "two", lambda: users)
    with pytest.raises(InUseError, match=r"cannot be forced.*running container cccccccccccc"):
        remove(store, "two", lambda: users, force=True)


def test_image_of_a_stopped_container_needs_force_and_its_layers_stay(store):
    users = [record(store, Status.EXITED)]
    with pytest.raises(InUseError, match=r"must force.*container cccccccccccc is using"):
        remove(store, "two", lambda: users)
    image = resolve(store, "two")
    remove(store, "two", lambda: users, force=True)
    assert store.has_layer(sha256(OTHER))
    assert store.has_blob(image.id)
    with pytest.raises(NotFoundError):
        resolve(store, "two")


def test_tag_takes_a_name_from_another_image_which_stays_without(store):
    tag(store, "one:1", "two")
    assert resolve(store, "two").id == resolve(store, "one:1").id
    dangling = [row for row in list_images(store) if row.repository == "<none>"]
    assert len(dangling) == 1
    assert resolve(store, dangling[0].id).diff_ids[1] == sha256(OTHER)
    with pytest.raises(UsageError, match="digest"):
        tag(store, "one:1", "x@" + sha256(b""))


def test_name_of_an_image_that_is_loaded_anew_moves(store, tmp_path):
    docker_archive(tmp_path / "new.tar", [TOP], tags=["two"])
    load(store, tmp_path / "new.tar")
    assert resolve(store, "two").diff_ids == (sha256(TOP),)
    assert len(list_images(store)) == 4


def test_list_has_one_row_a_name_and_filters(store, tmp_path):
    names = sorted((row.repository, row.tag) for row in list_images(store))
    assert names == [("one", "1"), ("quay.io/team/one", "2"), ("two", "latest")]
    assert {row.size for row in list_images(store)} == {len(BASE) + len(TOP)}
    assert [row.tag for row in list_images(store, "one")] == ["1"]
    assert list_images(store, "one:2") == []
    assert list_images(store, filters=ImageFilters(dangling=True)) == []
    assert len(list_images(store, filters=ImageFilters(references=("quay.io/*/one",)))) == 1
    assert len(list_images(store, filters=ImageFilters(references=("t*",)))) == 1


def test_inspect_has_docker_s_keys(store):
    image = resolve(store, "one:1")
    shown = inspect(store, image)
    assert list(shown) == [
        *(
            "Id",
            "RepoTags",
            "RepoDigests",
            "Parent",
            "Comment",
            "Created",
            "DockerVersion",
            "Author",
        ),
        *("Architecture", "Os", "Size", "GraphDriver", "RootFS", "Metadata", "Config"),
    ]
    assert shown["RepoTags"] == ["one:1", "quay.io/team/one:2"]
    assert list(shown["Config"]) == [
        *("Cmd", "Entrypoint", "Env", "Labels", "OnBuild", "User", "Volumes"),
        "WorkingDir",
    ]
    assert shown["Config"]["User"] == "7"
    assert shown["Config"]["Cmd"] == ["/bin/sh"]
    assert shown["RootFS"] == {"Type": "layers", "Layers": [sha256(BASE), sha256(TOP)]}


def test_history_is_newest_first(store):
    steps = history(store, resolve(store, "one:1"))
    assert [(step.created_by, step.size) for step in steps] == [
        ("layer 1", len(TOP)),
        ("layer 0", len(BASE)),
    ]
    assert steps[0].id == resolve(store, "one:1").id
    assert steps[1].id == "<missing>"


@pytest.mark.parametrize("compress", [lambda data: data, gzip.compress, lzma.compress])
def test_import_makes_an_image_of_one_layer(store, tmp_path, compress):
    (tmp_path / "rootfs").write_bytes(compress(TOP))
    imported = import_tar(
        store,
        tmp_path / "rootfs",
        reference="mine:1",
        created=CREATED,
        changes=["CMD echo hi", "ENV A=b"],
        message="by hand",
    )
    image = resolve(store, "mine:1")
    assert image.id == imported.id
    assert image.diff_ids == (sha256(TOP),)
    assert image.config == {"Cmd": ["/bin/sh", "-c", "echo hi"], "Env": ["A=b"]}
    assert inspect(store, image)["Comment"] == "by hand"


def test_import_from_a_pipe_without_a_name(store):
    reading, writing = os.pipe()
    os.write(writing, TOP)
    os.close(writing)
    imported = import_tar(store, reading, created=CREATED, platform=parse_platform("linux/arm/v6"))
    os.close(reading)
    image = resolve(store, imported.id)
    assert image.tags == ()
    assert str(image.platform) == "linux/arm/v6"


@pytest.mark.parametrize("data", [b"not a tar" * 100, TOP[:514], gzip.compress(TOP)[:-9]])
def test_import_of_what_is_no_tar_is_refused(store, tmp_path, data):
    (tmp_path / "rootfs").write_bytes(data)
    before = list_images(store)
    with pytest.raises(InvalidDocumentError, match="rootfs"):
        import_tar(store, tmp_path / "rootfs", reference="bad", created=CREATED)
    assert list_images(store) == before


def test_import_of_nothing_is_an_image_without_files(store, tmp_path):
    """As with docker and podman."""
    (tmp_path / "rootfs").write_bytes(b"")
    imported = import_tar(store, tmp_path / "rootfs", created=CREATED)
    assert resolve(store, imported.id).id == imported.id


class Server(http.server.BaseHTTPRequestHandler):
    """/rootfs is TOP, /short promises more than it sends, the rest does not exist."""

    def do_GET(self):
        if self.path == "/none":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(TOP) + 99 * (self.path == "/short")))
        self.end_headers()
        self.wfile.write(TOP)

    def log_message(self, *args):
        pass


@pytest.fixture
def url():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_import_from_a_url(store, url):
    imported = import_tar(store, url + "/rootfs", reference="web", created=CREATED)
    assert resolve(store, "web").diff_ids == (sha256(TOP),)
    assert history(store, resolve(store, imported.id))[0].comment == "Imported from rootfs"


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [("/none", NotFoundError, "404"), ("/short", InvalidDocumentError, "cut short")],
)
def test_import_from_a_url_that_fails_is_refused(store, url, path, kind, message):
    with pytest.raises(kind, match=message):
        import_tar(store, url + path, created=CREATED)
    with pytest.raises(UsageError, match="not an http"):
        import_tar(store, "file:///etc/passwd", created=CREATED)


def test_import_from_a_file_whose_name_is_not_utf_8(store, tmp_path):
    archive = tmp_path / os.fsdecode(b"caf\xe9.tar")
    archive.write_bytes(TOP)
    imported = import_tar(store, archive, created=CREATED)
    image = resolve(store, imported.id)
    assert inspect(store, image)["Comment"] == "Imported from caf\\xe9.tar"


@pytest.mark.parametrize(
    "arguments", [{"message": "caf\udce9"}, {"changes": ["LABEL caf\udce9=b"]}]
)
def test_text_that_json_cannot_hold_is_refused_at_import(store, tmp_path, arguments):
    (tmp_path / "rootfs").write_bytes(TOP)
    with pytest.raises(InvalidDocumentError) as raised:
        import_tar(store, tmp_path / "rootfs", created=CREATED, **arguments)
    assert raised.value.message == r"text that is not UTF-8 cannot be stored: 'caf\udce9'"


def test_import_of_a_directory_or_nothing_is_refused(store, tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises((NotFoundError, InvalidDocumentError), match=path.name):
            import_tar(store, path, created=CREATED)


def test_image_is_found_in_a_few_milliseconds_among_many(store):
    for i in range(200):
        tag(store, "one:1", f"many:{i}")
    fastest = 1.0
    for _ in range(5):
        started = time.process_time()
        image = resolve(Store.open(store.root), "many:199")
        layer_files(store, image)
        fastest = min(fastest, time.process_time() - started)
    assert fastest < 0.02
