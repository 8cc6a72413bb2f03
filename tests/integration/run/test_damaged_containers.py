"""One damaged container: it is shown as dead and can be removed, and no other is affected."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


@pytest.fixture
def box(rootless, busybox_image):
    rootless("import", busybox_image, "box:1").ok()
    rootless("run", "--name", "good", "box:1", "sh", "-c", "echo x >/new").ok()
    rootless("run", "--name", "bad", "box:1", "sh", "-c", "echo x >/new").ok()
    return rootless


def directory_of(box, name) -> Path:
    link = box.data / "rootless/containers/names" / name
    return link.parent.parent / os.readlink(link)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero(path: Path) -> None:
    path.write_bytes(bytes(400))


def nest(path: Path) -> None:
    path.write_bytes(b"[" * 100000)


def to_directory(path: Path) -> None:
    path.unlink()
    (path / "sub").mkdir(parents=True)


def unreadable(path: Path) -> None:
    path.chmod(0)


def removed(path: Path) -> None:
    path.unlink()


def looping(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


DAMAGES = [cut, empty, zero, nest, to_directory, unreadable, removed, looping]


def quiet(result, *statuses):
    """One line at most, and a hint; no traceback."""
    assert result.status in statuses, result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith("hint:")]
    assert len(lines) <= 1, result.stderr
    return result


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_container_with_a_damaged_record_is_dead_and_removable(box, damage):
    damage(directory_of(box, "bad") / "container.json")
    shown = box("ps", "-a", "--format", "{{.Names}} {{.State}}").ok().stdout.splitlines()
    assert sorted(shown) == ["bad dead", "good exited"]
    assert " Dead " in quiet(box("ps", "-as", "-f", "status=dead"), 0).stdout
    assert box("ps", "-aq", "-f", "ancestor=box:1").ok().stdout.count("\n") == 1
    assert box("inspect", "-f", "{{.State.Status}}", "good").ok().stdout == "exited\n"
    assert box("run", "--rm", "box:1", "echo", "in").ok().stdout == "in\n"
    quiet(box("system", "df"), 0)
    quiet(box("images"), 0)
    assert "container bad" in quiet(box("system", "check"), 0, 1).stdout
    assert "container bad" in quiet(box("system", "check", "--repair"), 0, 1).stdout
    quiet(box("container", "prune", "-f"), 0)
    quiet(box("run", "--name", "bad", "box:1", "true"), 125)
    quiet(box("diff", "bad"), 0, 1, 125)
    quiet(box("commit", "bad", "made:1"), 0, 1, 125)
    quiet(box("inspect", "bad"), 0, 1)
    quiet(box("cow", "bad"), 0, 1, 125)
    box("rm", "bad").ok()
    assert box("ps", "-aq").ok().stdout == ""
    assert not list((box.data / "rootless/containers/names").iterdir())
    box("run", "--name", "bad", "box:1", "true").ok()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, damage) for name in ("config.json", "cow.json") for damage in DAMAGES),
        *((name, to_directory) for name in (".lock", "hosts", "engine.log")),
        *((name, unreadable) for name in (".lock", "hosts", "engine.log")),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_other_damaged_files_are_one_line(box, name, damage):
    path = directory_of(box, "bad") / name
    if not path.exists():
        path.write_bytes(b"x")
    damage(path)
    assert "bad exited" in box("ps", "-a", "--format", "{{.Names}} {{.State}}").ok().stdout
    for command in (
        ("inspect", "bad"),
        ("diff", "bad"),
        ("commit", "bad", "made:1"),
        ("cow", "bad"),
    ):
        quiet(box(*command), 0, 1, 125)
    quiet(box("export", "bad", "-o", str(box.data / "out.tar")), 0, 1, 125)
    box("diff", "good").ok()
    box("rm", "bad", "good").ok()


def test_bytes_of_a_config_changed_one_by_one_are_one_line(box):
    """Every kind of token once, and a sample of the rest: what remains JSON may have lost any key."""
    path = directory_of(box, "bad") / "config.json"
    original = path.read_bytes()
    document = json.loads(original)
    lost = [{k: v for k, v in document.items() if k != key} for key in document]
    for key in ("process", "linux", "root"):
        lost += [
            {**document, key: {k: v for k, v in document[key].items() if k != inner}}
            for inner in document[key]
        ]
        lost += [
            {**document, key: {**document[key], inner: value}}
            for inner in document[key]
            for value in (7, "x", [7], {"x": 7}, None)
        ]
    random.Random(7).shuffle(lost)
    from rootless.containers.config import id_maps_of, read_spec
    from rootless.errors import InvalidDocumentError

    for each in lost:
        path.write_text(json.dumps(each))
        try:
            read_spec(path.parent)
            id_maps_of(path.parent)
        except InvalidDocumentError:
            continue
    for each in lost[:12]:
        path.write_text(json.dumps(each))
        quiet(box("inspect", "bad"), 0, 1, 125)
        quiet(box("commit", "bad", "made:1"), 0, 1, 125)


def test_record_of_a_running_container_may_be_damaged(box):
    """It ends with its own status, and is not removed under its feet."""
    process = box.popen(
        "run", "-i", "--name", "runs", "box:1", "sh", "-c", "echo up; read x; exit 7"
    )
    assert process.stdout.readline() == b"up\n"
    directory = directory_of(box, "runs")
    zero(directory / "container.json")
    refused = quiet(box("rm", "runs"), 1)
    assert "container is running" in refused.stderr
    process.communicate(b"\n", 120)
    assert process.returncode == 7
    assert box("inspect", "-f", "{{.State.ExitCode}}", "runs").ok().stdout == "7\n"

    process = box.popen("run", "-i", "--name", "again", "box:1", "sh", "-c", "echo up; read x")
    assert process.stdout.readline() == b"up\n"
    zero(directory_of(box, "again") / "container.json")
    box("rm", "-f", "again").ok()
    assert process.wait(120) == 137
    assert "again" not in box("ps", "-a").ok().stdout


def test_names_that_are_damaged_are_found_by_id(box):
    identity = directory_of(box, "bad").name
    shutil.rmtree(box.data / "rootless/containers/names")
    assert box("inspect", "-f", "{{.Id}}", identity).ok().stdout == f"{identity}\n"
    box("rm", identity).ok()
