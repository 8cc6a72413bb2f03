"""Images that lie, bomb or pretend to be something else: one clear line, docker's status, and a store
as it was, whichever way they come in."""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Result, run_command
from tests.support.images import add_file, docker_archive, image_config, layer_tar, sha256
from tests.support.registry import CONFIG, INDEX, LAYER, MANIFEST, FakeRegistry, serving
from tests.support.rootless import Rootless

BASE = layer_tar({"etc/name": b"base\n"})
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
Document = dict[str, Any]


def image(edit: Callable[[FakeRegistry, Document], None]) -> Callable[[FakeRegistry], None]:
    """An image of one layer whose manifest is edited."""

    def put(registry: FakeRegistry) -> None:
        registry.put_image("app", "1", [BASE], edit=lambda document: edit(registry, document))

    return put


def config(data: bytes) -> Callable[[FakeRegistry], None]:
    """An image with this config."""

    def edit(registry: FakeRegistry, document: Document) -> None:
        document["config"] = registry.descriptor("app", data, CONFIG)

    return image(edit)


def config_with(**fields: object) -> bytes:
    return json.dumps({**json.loads(image_config([BASE], {})), **fields}).encode()


def raw(data: bytes, media_type: str = MANIFEST) -> Callable[[FakeRegistry], None]:
    """These bytes as the manifest."""
    return lambda registry: registry.put_manifest("app", "1", data, media_type) and None


def layer(data: bytes, **fields: object) -> Callable[[FakeRegistry], None]:
    """These bytes as the layer, with fields of its descriptor."""

    def edit(registry: FakeRegistry, document: Document) -> None:
        document["layers"][0] = {**registry.descriptor("app", data, LAYER), **fields}

    return image(edit)


def resized(part: str, change: Callable[[int], int]) -> Callable[[FakeRegistry], None]:
    def edit(registry: FakeRegistry, document: Document) -> None:
        descriptor = document["config"] if part == "config" else document["layers"][0]
        descriptor["size"] = change(descriptor["size"])

    return image(edit)


def retyped(part: str, media_type: str) -> Callable[[FakeRegistry], None]:
    def edit(registry: FakeRegistry, document: Document) -> None:
        descriptor = document["config"] if part == "config" else document["layers"][0]
        descriptor["mediaType"] = media_type

    return image(edit)


def member(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    """A tar of one member whose header says `size`, in the field's own notation."""
    header = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = size.ljust(12, b"\0")
    header[156:157] = kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"x" * 512 + bytes(1024)


def nested(depth: int) -> Callable[[FakeRegistry], None]:
    """An image under `depth` indexes."""

    def put(registry: FakeRegistry) -> None:
        registry.put_image("app", "0", [BASE])
        below = "0"
        for level in range(depth):
            media_type, data = registry.manifests["app"][below]
            entry = {"mediaType": media_type, "digest": sha256(data), "size": len(data)}
            below = "1" if level == depth - 1 else f"level{level}"
            document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
            registry.put_manifest("app", below, document, INDEX)

    return put


def index_with(**fields: object) -> Callable[[FakeRegistry], None]:
    """An index of one image, with fields of its entry."""

    def put(registry: FakeRegistry) -> None:
        registry.put_image("app", "0", [BASE])
        _, data = registry.manifests["app"]["0"]
        entry = {"mediaType": MANIFEST, "digest": sha256(data), "size": len(data), **fields}
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
        registry.put_manifest("app", "1", document, INDEX)

    return put


def as_config(registry: FakeRegistry) -> None:
    """An index where the config should be."""

    def edit(registry: FakeRegistry, document: Document) -> None:
        inner = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        document["config"] = registry.descriptor("app", json.dumps(inner).encode(), CONFIG)

    registry.put_image("app", "1", [BASE], edit=lambda document: edit(registry, document))


def both(registry: FakeRegistry) -> None:
    registry.put_image("app", "1", [BASE], edit=lambda document: document.update(manifests=[]))


def many(registry: FakeRegistry) -> None:
    def edit(document: Document) -> None:
        document["layers"] = document["layers"] * 1001

    registry.put_image("app", "1", [BASE], edit=edit)


def padded(document: Document) -> bytes:
    return json.dumps({**document, "annotations": {"x": "y" * (4 << 20)}}).encode()


EMPTY = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}
PACKED = gzip.compress(BASE, mtime=0)
CASES: dict[str, tuple[Callable[[FakeRegistry], None], str]] = {
    # Sizes that are lies.
    "layer smaller than it says": (resized("layer", lambda n: n + 1), "layer|blob"),
    "layer larger than it says": (resized("layer", lambda n: n - 1), "layer|blob"),
    "layer of nothing": (resized("layer", lambda _: 0), "layer|blob"),
    "layer of exabytes": (resized("layer", lambda _: 1 << 62), "layer|blob"),
    "layer beyond 64 bits": (resized("layer", lambda _: 1 << 90), "layer|blob"),
    "config smaller than it says": (resized("config", lambda n: n + 1), "config|blobs/"),
    "config larger than it says": (resized("config", lambda n: n - 1), "config|blobs/"),
    "config of exabytes": (resized("config", lambda _: 1 << 62), "config|blobs/"),
    "manifest larger than its index says": (index_with(size=3), "manifest|blobs/"),
    "negative size": (resized("layer", lambda _: -1), "size is negative"),
    "size that is no number": (layer(PACKED, size="9"), "size is not of type integer"),
    "member larger than the layer": (layer(gzip.compress(member("a", b"77777777777"))), "layer"),
    "member of negative size": (layer(gzip.compress(member("a", b"\xff" * 12))), "layer"),
    "member beyond 64 bits": (layer(gzip.compress(member("a", b"\x80" + b"\xff" * 11))), "layer"),
    "extended header of gigabytes": (
        layer(gzip.compress(member("a", b"17777777777", b"x"))),
        "layer",
    ),
    "directory with content": (layer(gzip.compress(member("a/", b"777", b"5"))), "layer"),
    # Depth.
    "manifest nested without end": (raw(DEEP), "nested too deeply"),
    "index nested without end": (raw(DEEP, INDEX), "nested too deeply"),
    "config nested without end": (config(DEEP), "nested too deeply"),
    "label nested deeply": (config(config_with(x=json.loads("[" * 300 + "]" * 300))), "deeply"),
    "indexes in indexes": (nested(6), "nested too deeply"),
    # Bulk.
    "manifest of five megabytes": (raw(padded(EMPTY)), "too large"),
    "config of five megabytes": (config(config_with(x="y" * (5 << 20))), "too large"),
    "a thousand and one layers": (many, "more than 1000"),
    "layer that decompresses again and again": (
        layer(gzip.compress(gzip.compress(BASE))),
        "is not a valid layer",
    ),
    # One thing that pretends to be another.
    "manifest and index in one": (both, "both a manifest and an index"),
    "index called a manifest": (
        raw(json.dumps({"schemaVersion": 2, "manifests": []}).encode()),
        "both|layers is missing",
    ),
    "manifest called an index": (raw(json.dumps(EMPTY).encode(), INDEX), "has the mediaType|both"),
    "index as config": (as_config, "rootfs is missing"),
    "config as layer": (retyped("layer", CONFIG), "is (not a|no) layer"),
    "artifact as image": (
        retyped("config", "application/vnd.example+json"),
        "artifact|not a container",
    ),
    "JSON as layer": (layer(gzip.compress(image_config([BASE], {}))), "is not a valid layer"),
    "other layer than the config says": (
        layer(gzip.compress(layer_tar({"other": b"x"}))),
        "has the diffID",
    ),
    "config of fewer layers": (config(image_config([], {})), "layers but its config has 0"),
    "schema of old": (raw(b'{"schemaVersion":1,"fsLayers":[]}'), "schemaVersion is not 2"),
    "no JSON": (raw(b"\x1f\x8b" + bytes(50)), "is not valid JSON"),
    "two values": (raw(b"{}{}"), "is not valid JSON"),
    "list": (raw(b"[]"), "is not a JSON object"),
}


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with serving(FakeRegistry()) as registry:
        yield registry


def layout_of(registry: FakeRegistry, directory: Path) -> Path:
    """What the registry has of app:1, as an OCI layout."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)
    for data in registry.blobs.get("app", {}).values():
        (blobs / sha256(data)[7:]).write_bytes(data)
    for _, data in registry.manifests["app"].values():
        (blobs / sha256(data)[7:]).write_bytes(data)
    media_type, data = registry.manifests["app"]["1"]
    entry = {"mediaType": media_type, "digest": sha256(data), "size": len(data)}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return directory


def check_refused(rootless: Rootless, result: Result, status: int, words: str) -> None:
    lines = result.stderr.splitlines()
    said = [line for line in lines if line.startswith("rootless: ")]
    assert len(said) == 1, result.stderr
    assert re.search(words, said[0]), said
    assert lines[-1] == said[0] or lines[-1].startswith("hint: "), lines
    assert result.status == status
    assert rootless("images", "-aq").ok().stdout == ""
    store = rootless.data / "rootless"
    assert json.loads((store / "index.json").read_text())["manifests"] == []
    for kind in ("blobs/sha256", "layers", "chains"):
        assert list((store / kind).iterdir()) == []
    assert [each.name for each in (store / "tmp").iterdir() if each.name != ".lock"] == []


@pytest.mark.parametrize("case", CASES)
def test_hostile_image_is_refused_by_load(rootless, registry, tmp_path, case):
    put, words = CASES[case]
    put(registry)
    layout = layout_of(registry, tmp_path / "layout")
    check_refused(rootless, rootless("load", "-i", layout), 1, words)


@pytest.mark.parametrize("case", CASES)
def test_hostile_image_is_refused_by_pull(rootless, registry, case):
    put, words = CASES[case]
    put(registry)
    check_refused(rootless, rootless("pull", "-q", f"{registry.host}/app:1"), 1, words)
    partial = rootless.data / "rootless/partial"
    assert not partial.exists() or list(partial.iterdir()) == []


def test_history_that_speaks_to_terminals_is_shown_in_its_line(rootless, registry):
    step = {"created_by": "evil\x1b]0;title\x07\nfake  line", "comment": "a\tb\r"}
    config(config_with(history=[step]))(registry)
    name = f"{registry.host}/app:1"
    rootless("pull", "-q", name).ok()
    _, row = rootless("history", "--no-trunc", name).ok().stdout.splitlines()
    assert "evil\\x1b]0;title\\x07 fake  line" in row
    assert row.endswith("a b")
    # A field by itself, and JSON, are printed unescaped.
    shown = rootless("history", "--no-trunc", "--format", "{{json .CreatedBy}}", name).ok().stdout
    assert json.loads(shown) == step["created_by"]


@pytest.mark.needs("userns", "fuse")
@pytest.mark.parametrize(
    "case", ["layer larger than it says", "manifest nested without end", "index as config"]
)
def test_hostile_image_is_refused_by_run(rootless, registry, case):
    put, words = CASES[case]
    put(registry)
    check_refused(rootless, rootless("run", "--rm", f"{registry.host}/app:1", "true"), 125, words)


def processor_seconds():
    """Of the children that have ended: a machine that is busy with other things makes them no more."""
    times = os.times()
    return times.children_user + times.children_system


def test_path_of_ten_thousand_components_is_one_file_to_everything(rootless, tmp_path):
    """Nothing recurses by directory, and nothing costs the square of the depth."""
    flat, path = layer_tar({"top": b"x"}), "d/" * 10_000 + "f"
    docker_archive(tmp_path / "flat.tar", [flat], tags=["flat:1"])
    docker_archive(tmp_path / "deep.tar", [flat, layer_tar({path: b"x"})], tags=["deep:1"])
    for name in ("flat", "deep"):
        rootless("load", "-i", tmp_path / f"{name}.tar").ok()
    before = processor_seconds()
    found = rootless("image", "diff", "flat:1", "deep:1").ok().stdout.splitlines()
    assert (len(found), found[0], found[-1]) == (10_001, "A /d", f"A /{path}")
    assert processor_seconds() - before < 20
    for command in ("image verify deep:1", "history deep:1", "image inspect deep:1"):
        rootless(*command.split()).ok()
    rootless("save", "-o", tmp_path / "saved.tar", "deep:1").ok()
    rootless("rmi", "deep:1").ok()
    rootless("load", "-i", tmp_path / "saved.tar").ok()


def archive_of(path: Path, listing: list[Document], files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        add_file(archive, "manifest.json", json.dumps(listing).encode())
        for name, data in files.items():
            add_file(archive, name, data)
    return path


LISTINGS = {
    "ten thousand images of one config": (
        [{"Config": "c", "Layers": []}] * 10_000,
        {"c": config_with(rootfs={"type": "layers", "diff_ids": []})},
        "lists 10000 images, more than 1000",
    ),
    "configs of hundreds of megabytes": (
        [{"Config": f"c{number}", "Layers": ["l"]} for number in range(40)],
        {f"c{number}": config_with(x="y" * (3 << 20)) for number in range(40)} | {"l": BASE},
        "configs of .* are too large",
    ),
    "thousands of layers": (
        [{"Config": "c", "Layers": ["l"] * 1001}],
        {"c": config_with(), "l": BASE},
        "lists 1001 layers but its config has 1",
    ),
    "name that breaks lines": (
        [{"Config": "c\nrootless: all is well", "Layers": []}],
        {},
        "is not a name",
    ),
    "tag that is none": (
        [{"Config": "c", "RepoTags": ["../../x:1"], "Layers": ["l"]}],
        {"c": config_with(), "l": BASE},
        "invalid reference format",
    ),
}


@pytest.mark.parametrize("case", LISTINGS)
def test_hostile_docker_archive_is_refused(rootless, tmp_path, case):
    listing, files, words = LISTINGS[case]
    path = archive_of(tmp_path / "image.tar", listing, files)
    check_refused(rootless, rootless("load", "-i", path), 1, words)


@pytest.mark.parametrize("count", [300, 10_000])
def test_image_of_many_names_is_read_once(rootless, registry, tmp_path, count):
    image(lambda *_: None)(registry)
    layout = layout_of(registry, tmp_path / "layout")
    index = json.loads((layout / "index.json").read_text())
    (entry,) = index["manifests"]
    key = "org.opencontainers.image.ref.name"
    index["manifests"] = [{**entry, "annotations": {key: f"a:{n}"}} for n in range(count)]
    (layout / "index.json").write_text(json.dumps(index))
    result = rootless("load", "-i", layout)
    if count > 1000:
        check_refused(rootless, result, 1, "lists 10000 images, more than 1000")
        rootless("copy", "-q", f"oci:{layout}:a:7777", "local:a:7777").ok()
    else:
        assert result.ok().stdout.splitlines() == [f"Loaded image: a:{n}" for n in range(count)]


def test_archive_of_more_members_than_images_have_is_refused(rootless, tmp_path):
    with (tmp_path / "many.tar").open("wb") as archive:
        for number in range(100_001):
            archive.write(tarfile.TarInfo(f"m{number}").tobuf(tarfile.USTAR_FORMAT))
        archive.write(bytes(1024))
    check_refused(rootless, rootless("load", "-i", tmp_path / "many.tar"), 1, "100000 members")


MEASURED = """
import sys
from rootless.cli.main import main
status = main(sys.argv[1:])
# Not getrusage(2), whose maximum is inherited over exec.
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(peak)
sys.exit(status)
"""


@pytest.mark.slow
def test_layer_of_very_many_entries_takes_bounded_memory_and_time(rootless, tmp_path):
    path = tmp_path / "many.tar"
    with path.open("wb") as archive:
        for number in range(250_000):
            info = tarfile.TarInfo(f"d{number // 1000}/f{number}")
            archive.write(info.tobuf(tarfile.USTAR_FORMAT))
        archive.write(bytes(1024))
    argv = [sys.executable, "-c", MEASURED, "import", path, "many:1"]
    before = processor_seconds()
    done = run_command(argv, env=rootless.env, timeout=800).ok()
    assert processor_seconds() - before < 30
    assert int(done.stdout.splitlines()[-1]) < 64 << 10
    rootless("image", "verify", "many:1").ok()
    assert rootless("history", "--human=false", "--format", "{{.Size}}", "many:1").ok().stdout == (
        f"{path.stat().st_size}\n"
    )
